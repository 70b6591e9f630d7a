"""Part files, and the names under which they are published."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from penstock.errors import PenstockError
from penstock.uploads import files, targets as module
from penstock.uploads.model import RefusedError
from penstock.uploads.names import names_of
from penstock.uploads.parts import LostPartError, Parts, part_name
from penstock.uploads.targets import Targets, etag_of
from tests.uploads.stores import Places

MIB = 1 << 20


@pytest.fixture
def parts(places: Places) -> Iterator[Parts]:
    parts = Parts(places.folder)
    yield parts
    parts.close()


@pytest.fixture
def targets(places: Places, parts: Parts) -> Iterator[Targets]:
    targets = Targets(places.root, places.folder, parts)
    yield targets
    targets.close()


def published(targets: Targets, upload_id: str, target: str, tag: str | None) -> None:
    inode = os.stat(part_name(upload_id), dir_fd=targets._parts.fd).st_ino
    os.close(targets.publish(upload_id, inode, 0, target, tag))


def path_of(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def inside(places: Places) -> set[str]:
    return {str(p.relative_to(places.root)) for p in places.root.rglob("*")}


def test_a_part_is_its_owners_alone_and_has_its_space(
    places: Places, parts: Parts
) -> None:
    inode = parts.create("a", 3 * MIB)
    found = places.part().stat()
    assert (found.st_mode & 0o7777, found.st_size, found.st_ino) == (0o600, 0, inode)
    assert found.st_blocks * 512 >= 3 * MIB, "reserved, or this disk can not"
    assert places.folder.stat().st_mode & 0o777 == 0o700
    assert parts.ids() == {"a"}
    parts.drop("a")
    parts.drop("a")
    assert parts.ids() == set()


def test_a_part_never_takes_a_name_that_exists(places: Places, parts: Parts) -> None:
    elsewhere = places.home / "elsewhere"
    places.part().symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        parts.create("a", 0)
    assert not elsewhere.exists()


def test_file_and_name_are_on_the_disk_before_a_part_is_there(
    places: Places, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(path_of(fd)))
    parts.create("a", 0)
    assert synced == [str(places.part()), str(places.folder)]


def test_nothing_is_left_of_a_part_for_which_there_is_no_space(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, length: int) -> bool:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files, "allocate", full)
    with pytest.raises(OSError, match="full"):
        parts.create("a", 1)
    assert parts.ids() == set()


@pytest.mark.parametrize(
    ("codes", "reserved"),
    [([errno.EOPNOTSUPP], False), ([errno.ENOSYS], False), ([errno.EINTR, 0], True)],
)
def test_where_space_can_not_be_reserved_the_file_is_sparse(
    monkeypatch: pytest.MonkeyPatch, codes: list[int], reserved: bool
) -> None:
    def fallocate(*_: int) -> int:
        ctypes.set_errno(code := codes.pop(0))
        return -1 if code else 0

    monkeypatch.setattr(files, "_fallocate", fallocate)
    assert files.allocate(0, 10) is reserved
    assert codes == []


def test_a_part_that_is_not_what_was_written_is_lost(
    places: Places, parts: Parts
) -> None:
    inode = parts.create("a", 0)
    os.truncate(places.part(), 10)
    for check in (parts.check, lambda *of: os.close(parts.open(*of))):
        check("a", inode, 10)
        with pytest.raises(LostPartError, match="has 10 bytes, and should have 11"):
            check("a", inode, 11)
        with pytest.raises(LostPartError, match="is gone"):
            check("b", inode, 0)
        with pytest.raises(LostPartError, match="is another file"):
            check("a", inode + 1, 0)
    places.part().unlink()
    places.part().mkdir()
    with pytest.raises(LostPartError, match="is another file"):
        parts.check("a", places.part().stat().st_ino, 0)


@pytest.mark.parametrize("upload_id", ["", "../x", "a/b", "a.b", "\0", "x" * 129, "ü"])
def test_an_id_that_none_has_is_no_name_of_a_file(upload_id: str) -> None:
    with pytest.raises(RefusedError) as refused:
        part_name(upload_id)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "target",
    ["", "/etc/passwd", "a//b", "a/", "../x", "a/../../x", ".", "a/./b", ".hidden"]
    + ["a/.git/b", "nul\0", "line\r\nX: y", "\x7f", "a\x85b", "\ud800"]
    + ["x" * 256, "ü" * 128, "/".join(["x" * 200] * 21)],
)
def test_paths_that_are_none_are_refused(target: str) -> None:
    with pytest.raises(RefusedError) as refused:
        names_of(target)
    assert refused.value.status == 400


def test_other_paths_are_taken_as_they_are() -> None:
    assert names_of("a/b c&ü/x.tar.gz") == ["a", "b c&ü", "x.tar.gz"]
    assert names_of("x" * 255) == ["x" * 255]


@given(st.text())
def test_no_path_leads_out_of_the_root(target: str) -> None:
    try:
        names = names_of(target)
    except RefusedError:
        return
    path = os.path.normpath("/root/" + target)
    assert path == "/root/" + "/".join(names)


def test_publishing_makes_folders_and_syncs_each(
    places: Places, parts: Parts, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = parts.create("a", 0)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(path_of(fd)))
    targets.check("x/y/file", None)
    assert inside(places) == set()
    folder = targets.publish("a", inode, 0, "x/y/file", None)
    assert path_of(folder) == str(places.root / "x" / "y")
    os.close(folder)
    assert synced == [str(places.root), str(places.root / "x")]
    assert (places.root / "x/y/file").samefile(places.part())
    assert targets.has("x/y/file", places.part().stat().st_ino)
    assert synced[-1] == str(places.root / "x" / "y")
    assert not targets.has("x/y/file", 1)
    assert not targets.has("x/z/file", 1)


def test_what_is_published_can_be_read_by_all_and_run_by_none(
    places: Places, parts: Parts, targets: Targets
) -> None:
    inode = parts.create("a", 0)
    os.truncate(places.part(), 20)
    with parts.opened("a", inode, 20) as fd:
        targets.prepare(fd, 10, public=True)
    found = places.part().stat()
    umask = os.umask(0)
    os.umask(umask)
    assert (found.st_mode & 0o7777, found.st_size) == (0o644 & ~umask, 10)


def test_a_file_is_replaced_only_by_who_knows_it(
    places: Places, parts: Parts, targets: Targets
) -> None:
    parts.create("a", 0)
    parts.create("b", 0)
    target = places.root / "file"
    for tag in ("*", '"x"'):
        with pytest.raises(RefusedError) as refused:
            published(targets, "a", "file", tag)
        assert refused.value.status == 412
    published(targets, "a", "file", None)
    tag = etag_of(target.stat())
    for refuse in (published, lambda t, _, *of: t.check(*of)):
        with pytest.raises(RefusedError, match="exists") as refused:
            refuse(targets, "b", "file", None)
        assert refused.value.status == 409
        with pytest.raises(RefusedError, match="another one by now") as refused:
            refuse(targets, "b", "file", '"other"')
        assert refused.value.status == 412
    assert target.samefile(places.part("a"))
    published(targets, "b", "file", tag)
    assert not target.samefile(places.part("a"))
    assert parts.ids() == {"a"}


def test_a_name_that_appears_at_the_last_moment_is_not_replaced(
    places: Places, parts: Parts, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.create("a", 0)
    monkeypatch.setattr(module, "_judge", lambda *_: None)
    (places.root / "file").write_text("theirs")
    with pytest.raises(RefusedError) as refused:
        published(targets, "a", "file", None)
    assert refused.value.status == 409
    assert (places.root / "file").read_text() == "theirs"


def test_no_symbolic_link_is_followed(
    places: Places, parts: Parts, targets: Targets
) -> None:
    outside = places.home / "outside"
    outside.mkdir()
    (places.root / "folder").symlink_to(outside)
    (places.root / "file").symlink_to(outside / "file")
    (places.root / "plain").write_text("")
    parts.create("a", 0)
    for target in ("folder/x", "plain/x"):
        with pytest.raises(OSError, match=r"Not a directory|Too many levels") as error:
            published(targets, "a", target, None)
        assert files.refusal_of(error.value.errno).status == 409
        assert not targets.has(target, 1)
    for tag, status in ((None, 409), ("*", 412)):
        with pytest.raises(RefusedError) as refused:
            published(targets, "a", "file", tag)
        assert refused.value.status == status
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "status"),
    [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EFBIG, 507)]
    + [(errno.EACCES, 403), (errno.EROFS, 403), (errno.ENAMETOOLONG, 400)]
    + [
        (errno.ENOTDIR, 409),
        (errno.ELOOP, 409),
        (errno.EIO, 500),
        (errno.EBADMSG, 400),
        (None, 500),
    ],
)
def test_what_a_client_is_told_of_an_error_has_no_path(
    code: int | None, status: int
) -> None:
    told = files.refusal_of(code)
    assert told.status == status
    assert "/" not in told.detail


def test_the_folder_of_uploads_is_never_served(places: Places) -> None:
    for name in ("root", "root/uploads", "root/a/uploads"):
        folder = places.home / name
        folder.mkdir(parents=True, exist_ok=True)
        parts = Parts(folder)
        with pytest.raises(PenstockError, match="would be served: choose one outside"):
            Targets(places.root, folder, parts)
        parts.close()
    parts = Parts(places.root / ".uploads")
    Targets(places.root, places.root / ".uploads", parts).close()
    parts.close()


def test_uploads_on_another_file_system_are_refused_at_start(places: Places) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == places.root.stat().st_dev:
        pytest.skip("no other file system to be written to")
    folder = shm / f"penstock-{os.getpid()}"
    parts = Parts(folder)
    try:
        with pytest.raises(PenstockError, match="is on another file system than"):
            Targets(places.root, folder, parts)
    finally:
        parts.close()
        folder.rmdir()


def test_a_folder_that_can_not_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "no" / "parent"):
        with pytest.raises(PenstockError, match=f"uploads.directory: {folder}: "):
            Parts(folder)


@pytest.mark.parametrize(
    ("mode", "owner", "remedy"),
    [(0o770, 0, "chmod 700"), (0o702, 0, "chmod 700"), (0o700, 12345, "chown 0")],
)
def test_a_folder_that_others_may_change_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    owner: int,
    remedy: str,
) -> None:
    (folder := tmp_path / "uploads").mkdir()
    folder.chmod(mode)
    found = list(folder.stat())
    found[stat.ST_UID] = owner
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result(found))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(PenstockError, match=f"{folder}: .*: {remedy} {folder}$"):
        Parts(folder)


@pytest.mark.parametrize("user", [0, 12345])
def test_a_folder_of_root_or_of_the_server_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    (folder := tmp_path / "uploads").mkdir()
    folder.chmod(0o755)
    found = list(folder.stat())
    found[stat.ST_UID] = user
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result(found))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    Parts(folder).close()


def test_who_finds_no_descriptor_left_is_told_to_come_again() -> None:
    for code in (errno.EMFILE, errno.ENFILE):
        refusal = files.refusal_of(code)
        assert (refusal.status, refusal.fields) == (503, [("Retry-After", "1")])
