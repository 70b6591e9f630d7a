"""A configuration file, read as the server does."""

from pathlib import Path

import pytest

from penstock.control import Control
from penstock.errors import PenstockError
from penstock.loading import Source
from penstock.settings import Settings


def load(tmp_path: Path, text: str, **flags: object) -> Settings:
    file = tmp_path / "penstock.toml"
    file.write_text(text)
    return Source(file, {"ROOT": tmp_path, **flags}).load()


def problems(tmp_path: Path, text: str, **flags: object) -> list[str]:
    """Without the file's name before each."""
    with pytest.raises(PenstockError) as caught:
        load(tmp_path, text, **flags)
    assert caught.value.exit_code == 2
    prefix = f"{tmp_path / 'penstock.toml'}: "
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def rewrite(control: Control, text: str) -> None:
    assert control.source.file is not None
    control.source.file.write_text(text)
