"""The live page in a real browser, beside a real server with a running download."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.live.browser import browser, lacking
from tests.serving import Client, Server, request

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(lacking()), reason=f"{', '.join(lacking())}: not there"),
]
US = "127.0.0.1"
TOKEN = "correct horse"
SECONDS = 20.0


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


class Page:
    def __init__(self, chrome: Chrome, server: Server) -> None:
        self.chrome = chrome
        self.server = server
        chrome.get("about:blank")
        self.complaints()  # those of another page
        chrome.get(server.admin + "/")

    def find(self, css: str) -> WebElement:
        return self.chrome.find_element(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        found = self.chrome.find_elements(By.CSS_SELECTOR, css)
        return found[0].text if found else ""

    def cell(self, client_id: str, name: str) -> str:
        return self.text(f'tr[data-client="{client_id}"] .{name}')

    def wait(self, what: str, check: Callable[[], object]) -> None:
        WebDriverWait(self.chrome, SECONDS, 0.1).until(lambda _: check(), what)

    def complaints(self) -> list[str]:
        """Of the browser, among them violations of the page's policy."""
        return [entry["message"] for entry in self.chrome.get_log("browser")]


@pytest.fixture
def download(server_at_500k: Server) -> Iterator[Client]:
    """For a minute, and read all the time: else its rate is over when a browser that
    starts slowly looks."""
    with server_at_500k.client() as client:
        client.send(request("/big") * 3)
        client.fill()
        reader = threading.Thread(target=read_on, args=[client])
        reader.start()
        yield client
        client.sock.shutdown(socket.SHUT_RDWR)
        reader.join(10)
        client.reset()


def read_on(client: Client) -> None:
    with contextlib.suppress(OSError):
        while client.sock.recv(65536):
            pass


@pytest.fixture
def server_at_500k(start: Callable[..., Server]) -> Server:
    return start("--cpus", "0", "--client-rate", "500kB/s")


def test_a_download_has_a_row_and_its_limit_is_changed_through_the_page(
    chrome: Chrome, server_at_500k: Server, download: Client
) -> None:
    page = Page(chrome, server_at_500k)
    page.wait("the rate", lambda: page.cell(US, "number").endswith(" kB/s"))
    assert page.cell(US, "limit") == "500 kB/s"
    assert page.cell(US, "doing").startswith("1 download")
    assert page.text("#state") == "serving"

    page.find(f'tr[data-client="{US}"] button').click()
    page.find("#limit [name=rate]").send_keys("nonsense\n")
    page.wait("the refusal", lambda: "not a rate" in page.text("#limit .problem"))
    page.find("#limit [name=rate]").clear()
    page.find("#limit [name=rate]").send_keys("8Mbit/s\n")
    page.wait("the limit", lambda: page.cell(US, "limit") == "1.00 MB/s")
    page.wait("the event", lambda: "rate 1.00 MB/s" in page.text("#events li"))
    assert server_at_500k.ask(f"/clients/{US}")["rate_bps"] == 1_000_000
    assert not page.find("#limit").is_displayed()
    assert page.complaints() == []


def test_a_client_that_is_not_among_the_busiest_is_found(
    chrome: Chrome, start: Callable[..., Server]
) -> None:
    server = start("--cpus", "0")
    for i in range(60):
        server.ask("/config", {"client_id": f"client-{i:02}", "target_bps": 1000 + i})
    page = Page(chrome, server)
    page.wait("the counts", lambda: page.text("#shown") == "50 shown, 60 in all")
    page.find("#find").send_keys("ENT-00")
    page.wait("the search", lambda: "1 found" in page.text("#shown"))
    assert page.cell("client-00", "limit") == "1.00 kB/s"
    # What happened before is shown, too, and once.
    assert len(page.chrome.find_elements(By.CSS_SELECTOR, "#events li")) == 60


def test_names_are_shown_as_they_are_and_do_nothing(
    chrome: Chrome, start: Callable[..., Server]
) -> None:
    server = start("--cpus", "0")
    evil = "<img src=x onerror=document.title='x'>"
    server.ask("/config", {"client_id": evil, "target_bps": 1000})
    page = Page(chrome, server)
    page.wait("the row", lambda: page.text("tr .client") == evil)
    assert page.chrome.title == "penstock"
    assert page.complaints() == []


@pytest.fixture
def guarded(
    start: Callable[..., Server], config: Callable[[str], str]
) -> Iterator[Server]:
    """A server whose token is set while it runs, and taken away again: the checks
    around it have none."""
    file = config("")
    server = start("--cpus", "0", "--config", file)
    digest = sha256(TOKEN.encode()).hexdigest()
    reload(server, file, f'[admin]\ntoken_sha256 = "{digest}"', 401)
    yield server
    reload(server, file, "", 200)


def reload(server: Server, file: str, text: str, status: int) -> None:
    Path(file).write_text(text)
    server.process.send_signal(signal.SIGHUP)
    server.wait(
        "the reload", lambda: httpx.get(f"{server.admin}/status").status_code == status
    )


def test_the_token_is_asked_for_until_it_is_right(
    chrome: Chrome, guarded: Server
) -> None:
    page = Page(chrome, guarded)
    page.wait("the question", lambda: page.find("#token").is_displayed())
    page.find("#token [name=token]").send_keys("wrong\n")
    page.wait("the refusal", lambda: page.text("#token .problem") == "That was not it.")
    page.find("#token [name=token]").send_keys(TOKEN + "\n")
    page.wait("the state", lambda: page.text("#state") == "serving")
    page.find("#other").click()
    page.find("#limit [name=client]").send_keys("user_123")
    page.find("#limit [name=rate]").send_keys("5MB/s\n")
    page.wait("the row", lambda: page.cell("user_123", "limit") == "5.00 MB/s")


def test_the_question_for_the_token_can_not_be_waved_away(
    chrome: Chrome, guarded: Server
) -> None:
    page = Page(chrome, guarded)
    page.wait("the question", lambda: page.find("#token").is_displayed())
    for _ in range(3):
        page.find("#token [name=token]").send_keys(Keys.ESCAPE)
        page.wait("the question", lambda: page.find("#token").is_displayed())
    page.find("#token [name=token]").send_keys(TOKEN + "\n")
    page.wait("the state", lambda: page.text("#state") == "serving")
    assert not page.find("#token").is_displayed()


def test_a_page_finds_a_server_that_comes_back(
    chrome: Chrome, start: Callable[..., Server]
) -> None:
    server = start("--cpus", "0")
    page = Page(chrome, server)
    page.wait("the state", lambda: page.text("#state") == "serving")
    server.extra["may_exit"] = True
    server.stop()
    page.wait("the end", lambda: "bad" in page.find("#state").get_attribute("class"))
    again = start("--cpus", "0", admin_port=urlsplit(server.admin).port)
    again.ask("/config", {"client_id": "new", "target_bps": 5000})
    page.wait("the row", lambda: page.cell("new", "limit") == "5.00 kB/s")
