"""As much HTTP/1.1 as a load generator needs: GET, and a length to expect back."""

from perf.errors import PerfError

HEAD_BYTES_MAX = 16384
_SUCCESS = (b"200", b"206")


def get(path: str, token: str | None = None) -> bytes:
    """A keep-alive GET of ``/path``, with a bearer token when there is one."""
    lines = [f"GET /{path} HTTP/1.1", "Host: perf"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def split_head(received: bytes) -> tuple[int, int] | None:
    """Content-Length, and how many bytes of the body ``received`` holds already.

    None while the head is incomplete.

    Raises:
        PerfError: not a success, without a length, or with an endless head.
    """
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        if len(received) > HEAD_BYTES_MAX:
            raise PerfError("a response head does not end")
        return None
    status, *fields = head.split(b"\r\n")
    if status.split(b" ")[1:2] not in ([code] for code in _SUCCESS):
        raise PerfError(f"the server answered {status.decode(errors='replace')}")
    for field in fields:
        name, _, value = field.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value), len(body)
    raise PerfError("the server answered without a Content-Length")
