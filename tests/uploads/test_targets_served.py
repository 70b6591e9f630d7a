"""Files that appear by uploads, as everybody downloads them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.conftest import noise
from tests.uploads.served import UploadSite, head

DATA = noise(300_000)


def test_an_unfinished_upload_is_no_file_yet(uploads: UploadSite) -> None:
    begun = uploads.begin("later/data.bin", len(DATA))
    with uploads.server.client() as sending:
        said = {"range": f"bytes=0-{len(DATA) - 1}/{len(DATA)}"}
        sending.send(
            head("PUT", begun.target, len(DATA), idempotency_key=begun.key, **said)
        )
        sending.send(DATA[:1000])
        # Neither its name nor another is waited for.
        assert uploads.server.get("/later/data.bin").status == 404
        assert uploads.server.get(f"/{begun.id}.part").status == 404
        sending.send(DATA[1000:])
        assert sending.read().status == 200
    found = uploads.server.get("/later/data.bin", Range="bytes=299000-")
    assert (found.status, found.body) == (206, DATA[299_000:])


def test_a_file_is_served_until_its_replacement_is_complete(
    uploads: UploadSite,
) -> None:
    (uploads.root / "old.bin").write_bytes(DATA)
    tag = uploads.server.get("/old.bin", "HEAD")["etag"]
    begun = uploads.begin("old.bin", 5, if_match=tag)
    assert uploads.server.get("/old.bin").body == DATA
    assert begun.put(0, b"newer").status == 200
    uploads.server.wait(
        "the new one is served", lambda: uploads.server.get("/old.bin").body == b"newer"
    )


def test_a_file_is_replaced_only_by_who_knows_it(uploads: UploadSite) -> None:
    (uploads.root / "kept.bin").write_bytes(b"kept")
    plain = uploads.ask("POST", "/upload?path=kept.bin", upload_length="3")
    wrong = uploads.ask(
        "POST", "/upload?path=kept.bin", upload_length="3", if_match='"1-2-3"'
    )
    assert (plain.status, wrong.status) == (409, 412)
    tag = uploads.server.get("/kept.bin", "HEAD")["etag"]
    begun = uploads.begin("kept.bin", 3, if_match=tag)
    (uploads.root / "kept.bin").write_bytes(b"changed meanwhile")
    assert begun.put(0, b"abc").status == 412
    assert (uploads.root / "kept.bin").read_bytes() == b"changed meanwhile"
    uploads.ask("DELETE", begun.target, idempotency_key=begun.key)


def test_of_two_uploads_of_one_name_one_wins(uploads: UploadSite) -> None:
    bodies = [noise(100_000, seed) for seed in (2, 3)]
    begun = [uploads.begin("fought/over.bin", 100_000) for _ in bodies]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda b, body: b.put(0, body), begun, bodies))
    assert sorted(answer.status for answer in answers) == [200, 409]
    winner = next(i for i, answer in enumerate(answers) if answer.status == 200)
    assert uploads.server.get("/fought/over.bin").body == bodies[winner]
    loser = begun[1 - winner]
    assert loser.put(0, bodies[1 - winner]).status == 409
    answer = uploads.ask("DELETE", loser.target, idempotency_key=loser.key)
    assert answer.status == 204


def test_a_published_file_is_data_for_everybody(uploads: UploadSite) -> None:
    begun = uploads.begin("modes/run.sh", 10)
    assert begun.part.stat().st_mode & 0o777 == 0o600
    assert begun.put(0, b"#!/bin/sh\n").status == 200
    mode = (uploads.root / "modes/run.sh").stat().st_mode & 0o777
    assert mode & 0o111 == 0
    assert mode & 0o444 == 0o444
