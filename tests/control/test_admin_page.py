"""The live page: its files, its policy, and what it may be asked without a token."""

import re
from hashlib import sha256
from importlib.resources import files

import pytest

from penstock.admin_page import PAGE_PATHS
from tests.control.api import api
from tests.control.fakes import MakeControl

WITH_TOKEN = f'[admin]\ntoken_sha256 = "{sha256(b"secret").hexdigest()}"'
TYPES = {"css": "text/css", "js": "text/javascript", "/": "text/html"}


@pytest.mark.parametrize("path", sorted(PAGE_PATHS))
async def test_its_files_need_no_token_but_the_right_host_and_origin(
    make_control: MakeControl, path: str
) -> None:
    async with api(make_control(WITH_TOKEN)) as client:
        answer = await client.get(path)
        assert answer.status_code == 200
        kind = TYPES[path.rpartition(".")[2]]
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        for wrong in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            assert (await client.get(path, headers=wrong)).status_code == 403
        again = {"if-none-match": answer.headers["etag"]}
        assert (await client.get(path, headers=again)).status_code == 304
        assert (await client.post(path, json={})).status_code == 405


async def test_it_may_load_nothing_but_its_own_files(
    make_control: MakeControl,
) -> None:
    async with api(make_control()) as client:
        for path in PAGE_PATHS:
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"].split("; ")
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


def test_every_file_is_served_and_names_no_other_place() -> None:
    folder = files("penstock").joinpath("live")
    names = {file.name for file in folder.iterdir()}
    assert {f"/{name}" for name in names - {"index.html"}} | {"/"} == PAGE_PATHS
    for name in names:
        text = folder.joinpath(name).read_text()
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == []
        assert not re.search(r"innerHTML|insertAdjacentHTML|eval\(|\sstyle=", text)
