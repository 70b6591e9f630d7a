from array import array

def run(
    fds: list[int],
    request: bytes,
    response_bytes: int,
    rate_per_second: float,
    latency_ns: array[int],
    lateness_ns: array[int],
    spin: bool,
    stall_ns: int,
) -> tuple[int, int]: ...
