"""Preconditions in the order of RFC 9110 section 13.2.2."""

from __future__ import annotations

import pytest

from tests.serving import Server

OLD = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Fri, 01 Jan 2100 00:00:00 GMT"

CASES = [
    ({"if_none_match": "TAG"}, 304),
    ({"if_none_match": "W/TAG"}, 304),
    ({"if_none_match": '"x", TAG'}, 304),
    ({"if_none_match": "*"}, 304),
    ({"if_none_match": '"x"'}, 200),
    ({"if_modified_since": "DATE"}, 304),
    ({"if_modified_since": LATER}, 304),
    ({"if_modified_since": OLD}, 200),
    ({"if_modified_since": "not a date"}, 200),
    ({"if_match": "TAG"}, 200),
    ({"if_match": "*"}, 200),
    ({"if_match": "W/TAG"}, 412),
    ({"if_match": '"x"'}, 412),
    ({"if_unmodified_since": "DATE"}, 200),
    ({"if_unmodified_since": OLD}, 412),
    # If-None-Match hides If-Modified-Since, If-Match hides If-Unmodified-Since.
    ({"if_none_match": '"x"', "if_modified_since": LATER}, 200),
    ({"if_none_match": "TAG", "if_modified_since": OLD}, 304),
    ({"if_match": "TAG", "if_unmodified_since": OLD}, 200),
    # The failed precondition comes before the fulfilled 304, and both before Range.
    ({"if_match": '"x"', "if_none_match": "TAG"}, 412),
    ({"if_match": "TAG", "if_none_match": "TAG"}, 304),
    ({"if_none_match": "TAG", "range": "bytes=0-1"}, 304),
    ({"if_match": '"x"', "range": "bytes=0-1"}, 412),
    ({"if_match": "TAG", "range": "bytes=0-1"}, 206),
]


@pytest.mark.parametrize("name", ["hello.txt", "big"])
@pytest.mark.parametrize(("fields", "status"), CASES)
def test_preconditions(
    server: Server, name: str, fields: dict[str, str], status: int
) -> None:
    with server.client() as client:
        seen = client.get(f"/{name}", method="HEAD")
        given = {
            field: value.replace("TAG", seen["etag"]).replace(
                "DATE", seen["last-modified"]
            )
            for field, value in fields.items()
        }
        response = client.get(f"/{name}", **given)
        assert response.status == status
        if status == 304:
            assert response.body == b""
            assert response["etag"] == seen["etag"]
            assert "content-length" not in response.headers
        assert client.get("/hello.txt").status == 200, "the connection lives on"
