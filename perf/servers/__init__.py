"""The servers that can be measured, the subject first."""

from perf.servers.base import Client, Kind, Running, Setup, running
from perf.servers.lighttpd import Lighttpd
from perf.servers.nginx import Nginx
from perf.servers.penstock import Penstock

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Penstock(), Nginx(), Lighttpd())}

__all__ = ["KINDS", "Client", "Kind", "Running", "Setup", "running"]
