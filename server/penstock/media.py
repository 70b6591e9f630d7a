"""Media types by file extension: the standard library's table, made current.

System files such as ``/etc/mime.types`` are not read: the same penstock answers the
same on every machine.
"""

import mimetypes

EXTENSION_BYTES_MAX = 15  # the engine's own bounds
VALUE_BYTES_MAX = 111
_UTF8 = "; charset=utf-8"
# XML says its own encoding, and a charset parameter would overrule it (RFC 7303).
_SELF_DESCRIBING = {"text/xml"}

# What the table of some supported Python lacks or gives an outdated type (RFC 9239
# for JavaScript). A compressed file is served as what it is: no Content-Encoding.
_CURRENT = {
    "7z": "application/x-7z-compressed",
    "avif": "image/avif",
    "br": "application/x-brotli",
    "bz2": "application/x-bzip2",
    "cjs": "text/javascript",
    "deb": "application/vnd.debian.binary-package",
    "flac": "audio/flac",
    "gz": "application/gzip",
    "ico": "image/vnd.microsoft.icon",
    "iso": "application/x-iso9660-image",
    "js": "text/javascript",
    "jsonl": "application/jsonl",
    "jxl": "image/jxl",
    "log": "text/plain",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "otf": "font/otf",
    "parquet": "application/vnd.apache.parquet",
    "rpm": "application/x-rpm",
    "tgz": "application/gzip",
    "toml": "application/toml",
    "ttf": "font/ttf",
    "wasm": "application/wasm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "whl": "application/zip",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xz": "application/x-xz",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zst": "application/zstd",
}


def media_types() -> dict[str, str]:
    """Lower-case extension without the dot -> Content-Type value.

    What exceeds the engine's bounds is left out and served as
    ``application/octet-stream``.
    """
    strict = mimetypes.MimeTypes().types_map[True]
    known = {extension[1:].lower(): value for extension, value in strict.items()}
    return {
        extension: _with_charset(value)
        for extension, value in (known | _CURRENT).items()
        if 0 < len(extension) <= EXTENSION_BYTES_MAX
        and len(_with_charset(value)) <= VALUE_BYTES_MAX
    }


def _with_charset(value: str) -> str:
    """JSON is always UTF-8 and has no such parameter (RFC 8259)."""
    is_text = value.startswith("text/") and value not in _SELF_DESCRIBING
    return value + _UTF8 if is_text else value
