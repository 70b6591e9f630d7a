"""The servers that can be measured, the subject first."""

from perf.servers.aiohttp import Aiohttp
from perf.servers.base import Client, Kind, Running, Setup, running
from perf.servers.bwlim import HaproxyBwlim
from perf.servers.caddy import Caddy
from perf.servers.granian import Granian
from perf.servers.h2o import H2o
from perf.servers.haproxy import Haproxy
from perf.servers.htb import NginxHtb
from perf.servers.lighttpd import Lighttpd
from perf.servers.nginx import Nginx, NginxDav
from perf.servers.penstock import Penstock
from perf.servers.tusnode import TusNode
from perf.servers.unshaped import Unshaped
from perf.servers.uvicorn import Uvicorn

_ALL: tuple[Kind, ...] = (
    Penstock(),
    Nginx(),
    Lighttpd(),
    H2o(),
    Caddy(),
    Haproxy(),
    Granian(),
    Uvicorn(),
    Aiohttp(),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}

_PACED: tuple[Kind, ...] = (
    KINDS["penstock"],
    Penstock(mode="full"),
    KINDS["nginx"],
    HaproxyBwlim(),
    NginxHtb(),
    Unshaped(KINDS["penstock"], "paced"),
    Unshaped(KINDS["nginx"], "paced"),
    Unshaped(KINDS["penstock"], "full"),
    Unshaped(KINDS["nginx"], "full"),
)
SHAPERS: dict[str, Kind] = {kind.name: kind for kind in _PACED}
"""What limits downloads, and the same servers without a limit."""

_UPLOADERS: tuple[Kind, ...] = (
    KINDS["penstock"],
    Penstock(write_path="splice"),
    Penstock(write_path="copy"),
    Penstock(label="penstock-tus"),
    NginxDav(),
    TusNode(),
)
UPLOADERS: dict[str, Kind] = {kind.name: kind for kind in _UPLOADERS}
"""What takes uploads."""

__all__ = [
    "KINDS",
    "SHAPERS",
    "UPLOADERS",
    "Client",
    "Kind",
    "Running",
    "Setup",
    "running",
]
