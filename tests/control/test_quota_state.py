"""Usage on disk: whole after every crash, and never in the way of a start."""

import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from penstock.caps import Target
from penstock.errors import PenstockError
from penstock.quota_state import QuotaStore, dump_accounts, parse_accounts
from penstock.quotas import Account

ALICE = Target("client", "alice")
DAY = date(2026, 11, 24)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QuotaStore]:
    store = QuotaStore(tmp_path / "state")
    yield store
    store.close()


targets = st.one_of(
    st.builds(Target, st.sampled_from(["client", "group"]), st.text(max_size=64)),
    st.sampled_from([Target("server"), Target("default")]),
)
accounts = st.builds(
    Account,
    st.dates(),
    st.dictionaries(targets, st.integers(0, 1 << 62), max_size=5),
    st.dates(),
)


@given(st.dictionaries(st.text(), accounts, max_size=3))
def test_what_is_saved_is_read_again(saved: dict[str, Account]) -> None:
    named = {n: a for n, a in saved.items() if n.isprintable()}
    assert parse_accounts(dump_accounts(named)) == named


def test_nothing_is_there_at_first_and_what_was_saved_last_afterwards(
    store: QuotaStore,
) -> None:
    assert store.load() == {}
    for n_bytes in (1, 2):
        saved = {"q": Account(DAY, {ALICE: n_bytes})}
        store.save(dump_accounts(saved))
        assert store.load() == saved
    assert {file.name for file in store.file.parent.iterdir()} == {
        "lock",
        "quotas.json",
    }
    assert store.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "Expecting value"),
        (b"\0" * 4096, "Expecting value"),
        (b'{"version":1,"quotas":{"q":{"start":"2026-', "Unterminated string"),
        (b"\xff\xfe\x00", "can't decode"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "it is no JSON object"),
        (b'{"version":2,"quotas":{}}', "version 2 is not 1"),
        (b'{"version":1}', "quotas is no JSON object"),
        (b'{"version":1,"quotas":{"q":1}}', "q is no JSON object"),
        (b'{"version":1,"quotas":{"q":{"used_bytes":{}}}}', "Invalid isoformat"),
        (
            b'{"version":1,"quotas":{"q":{"start":"2026-11-24","latest":null,'
            b'"used_bytes":{}}}}',
            "Invalid isoformat",
        ),
        (
            b'{"version":1,"quotas":{"q":{"start":"2026-11-24",'
            b'"used_bytes":{"client:a":-1}}}}',
            "client:a: -1 is no number of bytes",
        ),
        (
            b'{"version":1,"quotas":{"q":{"start":"2026-11-24",'
            b'"used_bytes":{"client:a":1.5}}}}',
            "client:a: 1.5 is no number of bytes",
        ),
        (
            b'{"version":1,"quotas":{"q":{"start":"2026-11-24",'
            b'"used_bytes":{"thing:a":1}}}}',
            "'thing:a' is no target",
        ),
    ],
)
def test_a_corrupt_file_is_kept_aside_and_usage_begins_at_zero(
    store: QuotaStore, caplog: pytest.LogCaptureFixture, raw: bytes, reason: str
) -> None:
    store.file.write_bytes(raw)
    assert store.load() == {}
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert f"{store.file} can not be understood" in record.getMessage()
    assert reason in record.getMessage()
    assert store.file.with_name("quotas.json.corrupt").read_bytes() == raw
    assert not store.file.exists()
    store.save(dump_accounts({}))
    assert store.load() == {}


def test_a_save_that_fails_leaves_the_file_from_before(
    store: QuotaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = {"q": Account(DAY, {ALICE: 1})}
    store.save(dump_accounts(saved))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("penstock.quota_state.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(dump_accounts({"q": Account(DAY, {ALICE: 2})}))
    assert store.load() == saved


def test_file_and_folder_are_flushed_around_the_rename(
    store: QuotaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync(2): a new name is on the disk when its folder was flushed, too."""
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def logged_fsync(fd: int) -> None:
        calls.append(f"fsync {Path(f'/proc/self/fd/{fd}').readlink().name}")
        fsync(fd)

    def logged_rename(old: str, new: str, **keys: int) -> None:
        calls.append(f"rename {old} {new}")
        rename(old, new, **keys)

    monkeypatch.setattr("penstock.quota_state.os.fsync", logged_fsync)
    monkeypatch.setattr("penstock.quota_state.os.rename", logged_rename)
    store.save(b"{}")
    assert calls == [
        "fsync quotas.json.part",
        "rename quotas.json.part quotas.json",
        "fsync state",
    ]


def test_two_servers_can_not_share_a_folder(store: QuotaStore) -> None:
    with pytest.raises(PenstockError, match="another server uses it"):
        QuotaStore(store.file.parent)
    store.close()
    QuotaStore(store.file.parent).close()


def test_a_folder_that_can_not_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "no" / "parent"):
        with pytest.raises(PenstockError, match=f"server.state_dir: {folder}: "):
            QuotaStore(folder)


def test_a_file_that_can_not_be_read_is_a_refusal_not_a_loss(store: QuotaStore) -> None:
    store.file.mkdir()
    with pytest.raises(PenstockError, match=r"quotas\.json: can not be read: Is a dir"):
        store.load()


def test_the_file_is_plain_json_with_a_version(store: QuotaStore) -> None:
    store.save(dump_accounts({"daily": Account(DAY, {ALICE: 5})}))
    assert json.loads(store.file.read_text()) == {
        "version": 1,
        "quotas": {"daily": {"start": "2026-11-24", "used_bytes": {"client:alice": 5}}},
    }


def test_the_latest_period_is_in_the_file_only_while_the_clock_is_set_back() -> None:
    account = Account(DAY, {ALICE: 5})
    plain = dump_accounts({"daily": account})
    assert b"latest" not in plain
    assert parse_accounts(plain)["daily"].latest == DAY
    account.roll(date(2026, 11, 23))
    saved = dump_accounts({"daily": account})
    assert json.loads(saved)["quotas"]["daily"] == {
        "start": "2026-11-23",
        "latest": "2026-11-24",
        "used_bytes": {"client:alice": 5},
    }
    account.roll(DAY)
    assert dump_accounts({"daily": account}) == plain
