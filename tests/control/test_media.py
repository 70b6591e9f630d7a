"""Media types: current, complete, and within the engine's bounds."""

import pytest

from penstock.media import EXTENSION_BYTES_MAX, VALUE_BYTES_MAX, media_types


def test_every_entry_fits_the_engine() -> None:
    for extension, value in media_types().items():
        assert extension == extension.lower()
        assert 0 < len(extension.encode("ascii")) <= EXTENSION_BYTES_MAX
        assert 0 < len(value.encode("ascii")) <= VALUE_BYTES_MAX


@pytest.mark.parametrize(
    ("extension", "value"),
    [
        ("html", "text/html; charset=utf-8"),
        ("txt", "text/plain; charset=utf-8"),
        ("js", "text/javascript; charset=utf-8"),
        ("mjs", "text/javascript; charset=utf-8"),
        ("json", "application/json"),
        ("webmanifest", "application/manifest+json"),
        ("xml", "text/xml"),
        ("svg", "image/svg+xml"),
        ("wasm", "application/wasm"),
        ("webp", "image/webp"),
        ("avif", "image/avif"),
        ("woff2", "font/woff2"),
        ("zst", "application/zstd"),
        ("gz", "application/gzip"),
        ("tar", "application/x-tar"),
        ("zip", "application/zip"),
        ("pdf", "application/pdf"),
        ("png", "image/png"),
    ],
)
def test_common_files_have_their_registered_type(extension: str, value: str) -> None:
    assert media_types()[extension] == value
