"""``server.precompressed``: a list of encodings, from the file or a flag."""

from pathlib import Path

import pytest

from penstock.errors import PenstockError
from penstock.loading import Source


def precompressed(
    tmp_path: Path, value: str = "", flag: str | None = None
) -> tuple[str, ...]:
    file = tmp_path / "penstock.toml"
    file.write_text(f"[server]\nprecompressed = {value}\n" if value else "")
    flags = {"ROOT": tmp_path, "--precompressed": flag}
    return Source(file, flags).load().server.precompressed


def test_nothing_is_looked_for_by_default(tmp_path: Path) -> None:
    assert precompressed(tmp_path) == ()


def test_the_order_is_kept(tmp_path: Path) -> None:
    assert precompressed(tmp_path, '["zstd", "br"]') == ("zstd", "br")
    assert precompressed(tmp_path, '"gzip,br"') == ("gzip", "br")
    assert precompressed(tmp_path, "[]") == ()


def test_a_flag_wins(tmp_path: Path) -> None:
    assert precompressed(tmp_path, '["gzip"]', "br, zstd") == ("br", "zstd")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('["gz"]', "'gz' is not one of br, zstd, gzip"),
        ('["BR"]', "'BR' is not one of br, zstd, gzip"),
        ('["br", "gzip", "br"]', "br is listed twice"),
        ('"br;gzip"', "'br;gzip' is not one of br, zstd, gzip"),
        ("[1]", "1 is not one of br, zstd, gzip"),
        ('[["br"]]', "['br'] is not one of br, zstd, gzip"),
        ("true", 'must be a list, like ["br", "gzip"]'),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(
    tmp_path: Path, value: str, problem: str
) -> None:
    with pytest.raises(PenstockError) as caught:
        precompressed(tmp_path, value)
    file = tmp_path / "penstock.toml"
    assert caught.value.problems == (f"{file}: server.precompressed: {problem}",)


def test_a_wrong_flag_is_named(tmp_path: Path) -> None:
    with pytest.raises(PenstockError) as caught:
        precompressed(tmp_path, flag="")
    problem = "--precompressed: '' is not one of br, zstd, gzip"
    assert caught.value.problems == (problem,)
