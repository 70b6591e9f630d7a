"""Many uploads at once, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import noise
from tests.serving import Client
from tests.uploads.served import Begun, UploadSite, head

UPLOADS, CONNECTIONS = 200, 20
EACH = UPLOADS // CONNECTIONS


def upload(site: UploadSite, client: Client, number: int) -> None:
    """Created, cut in two, and the second half first, on one connection."""
    data = noise(1000 + number * 997, number)
    path = f"/upload?path=many/{number}.bin"
    client.send(head("POST", path, 0, upload_length=str(len(data))))
    answer = client.read()
    begun = Begun(site, answer["location"], answer["idempotency-key"], len(data))
    half = len(data) // 2
    for start, body in ((half, data[half:]), (0, data[:half])):
        last = start + len(body) - 1
        said = {"range": f"bytes={start}-{last}/{len(data)}"}
        client.send(
            head("PUT", begun.target, len(body), idempotency_key=begun.key, **said)
            + body
        )
        answer = client.read()
        assert answer.status == 200, answer


def check(site: UploadSite, number: int) -> None:
    body = site.server.get(f"/many/{number}.bin").body
    assert body == noise(1000 + number * 997, number)


def test_many_at_once_are_all_there_and_leave_nothing(
    start_uploads: Callable[..., UploadSite],
) -> None:
    site = start_uploads()
    before = site.server.open_fds()

    def connection(index: int) -> None:
        with site.server.client(timeout=60) as client:
            for number in range(index, UPLOADS, CONNECTIONS):
                upload(site, client, number)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(connection, range(CONNECTIONS)))
    assert site.left_over() == set()
    assert site.server.open_fds() <= before + 5  # admin connections come and go
    for number in range(UPLOADS):
        check(site, number)
    site.check_balance()


def test_what_is_given_up_leaves_nothing(
    start_uploads: Callable[..., UploadSite],
) -> None:
    """Refused, cut, reset and deleted ones."""
    site = start_uploads()
    for number in range(30):
        begun = site.begin(f"given-up/{number}", 500_000)
        client = site.server.client()
        client.send(
            head("PUT", begun.target, 500_000, idempotency_key=begun.key)
            + bytes(number * 10_000)
        )
        if number % 2:
            client.reset()
        else:
            client.sock.close()
        answer = site.ask("DELETE", begun.target, idempotency_key=begun.key)
        assert answer.status == 204
        assert site.ask("POST", "/upload?path=../x", upload_length="1").status == 400
    site.check_balance()
    assert site.left_over() == set()
