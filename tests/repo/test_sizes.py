"""The repository stays readable: small files, small functions, nothing local."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
CODE = {".py", ".pyi", ".pyx", ".pxd", ".pxi"}
_CYTHON_HEAD = re.compile(r"^(?P<indent> *)(?:cdef|cpdef|def) (?!class ).*\(")
# Paths of one person's machine, and package indexes, which are everybody's own choice.
_LOCAL = re.compile(
    r"(?<![\w.])/(?:home|root|work)/\w|/tmp/\w|pypi\.org|pythonhosted\.org|npmjs\.org"
)
_UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")


@pytest.fixture(scope="module")
def tracked(root: Path) -> list[Path]:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip("this is no git work tree")
    paths = [root / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix != ".png"]


def is_code(path: Path) -> bool:
    written = CODE | {".js", ".css"}
    return path.suffix in written or path.name in ("dev", "run")


def python_functions(source: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def cython_functions(source: str) -> Iterator[tuple[str, int]]:
    """By indentation; blank lines at the end do not count."""
    lines = source.splitlines()
    for at, line in enumerate(lines):
        head = _CYTHON_HEAD.match(line)
        if head is None:
            continue
        last = at
        for below in range(at + 1, len(lines)):
            text = lines[below]
            deeper = len(text) - len(text.lstrip()) > len(head["indent"])
            if text.strip() and not deeper and not text.strip().startswith(")"):
                break
            last = below if text.strip() else last
        yield line.strip(), last - at + 1


def functions(path: Path) -> Iterator[tuple[str, int]]:
    source = path.read_text()
    return (
        python_functions(source) if path.suffix == ".py" else cython_functions(source)
    )


def test_files_stay_short(tracked: list[Path]) -> None:
    sizes = {p.name: len(p.read_text().splitlines()) for p in tracked if is_code(p)}
    assert {n: s for n, s in sizes.items() if s > FILE_LINES_MAX} == {}


def test_functions_stay_short(tracked: list[Path]) -> None:
    long = [
        (path.name, name, lines)
        for path in tracked
        if path.suffix in CODE - {".pyi"}
        for name, lines in functions(path)
        if lines > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_a_long_function_is_noticed() -> None:
    body = "    x = 1\n\n" * 50
    source = (
        f"cdef inline int long(\n    int x\n) noexcept nogil:\n{body}\ncdef int y\n"
    )
    assert list(cython_functions(source)) == [("cdef inline int long(", 102)]
    assert list(python_functions(f"def f():\n{body}")) == [("f", 100)]


def test_nothing_depends_on_one_machine(tracked: list[Path]) -> None:
    this = Path(__file__).name
    found = [
        (path.name, number, line.strip())
        for path in tracked
        if path.name != this
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if _LOCAL.search(line)
    ]
    assert found == []


def test_nothing_is_left_for_later(tracked: list[Path]) -> None:
    found = [p.name for p in tracked if _UNFINISHED.search(p.read_text())]
    assert found == []
