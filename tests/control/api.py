"""A client of the admin API, without a socket."""

import httpx

from penstock.admin import make_app
from penstock.control import Control
from tests.control.fakes import FakeEngine


def api(control: Control, *engines: FakeEngine) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(control, engines))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
