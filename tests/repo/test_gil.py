"""The engine's hot code never takes the GIL: in its C, and already at the build."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A function of a header-only unit: __pyx_f_<length><unit>_<name>. Those of the Python
# face begin with the length of "penstock" instead and may use Python.
_HEAD = re.compile(r"^static .*\b__pyx_f_\d+(?P<name>[a-z]\w*)\(.*\) \{$")
_TAKES_THE_GIL = re.compile(
    r"PyGILState_Ensure|ErrOccurredWithGIL|__Pyx_WriteUnraisable|__Pyx_AddTraceback"
    r"|\bPyErr_\w+|\bPyEval_\w+"
)
_FACE = "penstock_"

CLEAN = """
cdef inline int planted(int x) noexcept nogil:
    return x + 1
"""
HINTS = {
    "a call of a function that may raise": """
cdef inline void raising(int* x) nogil:
    x[0] = 1

cdef inline int planted(int x) noexcept nogil:
    raising(&x)
    return x
""",
    "an extern function that may raise": """
cdef extern from "stdlib.h":
    void abort() except * nogil

cdef inline int planted(int x) noexcept nogil:
    abort()
    return x
""",
}
ENGINE = """
from unit cimport planted

def face(int x):
    with nogil:
        x = planted(x)
    return x
"""


def unit_functions(c: str) -> Iterator[tuple[str, str]]:
    """Name and text of every function that comes from a unit."""
    name, lines = "", []
    for line in c.splitlines():
        head = _HEAD.match(line)
        if head and not head["name"].startswith(_FACE):
            name, lines = head["name"], []
        if name:
            lines.append(line)
        if name and line == "}":
            yield name, "\n".join(lines)
            name = ""


@pytest.fixture(scope="module")
def engine_c(root: Path) -> str:
    generated = root / "build" / "cython" / "pyx" / "_engine.c"
    if not generated.is_file():
        pytest.skip("the C of the engine is not here: it was built elsewhere")
    return generated.read_text()


def test_no_function_of_a_unit_takes_the_gil(engine_c: str) -> None:
    found = {
        name: _TAKES_THE_GIL.findall(text)
        for name, text in unit_functions(engine_c)
        if _TAKES_THE_GIL.search(text)
    }
    assert found == {}


def test_the_functions_of_every_unit_of_the_loop_are_looked_at(
    root: Path, engine_c: str
) -> None:
    names = [name for name, _ in unit_functions(engine_c)]
    for unit in ("loop", "bucket", "wheel", "gate", "http1", "transmit", "respond"):
        assert (root / "pyx" / f"{unit}.pxd").is_file()
        assert any(name.startswith(f"{unit}_") for name in names), unit
    assert len(names) > 200


@pytest.mark.parametrize(
    "call",
    [
        "gil = PyGILState_Ensure();",
        "gil = __Pyx_PyGILState_Ensure();",
        "if (__Pyx_ErrOccurredWithGIL()) goto error;",
        '__Pyx_WriteUnraisable("unit.f", 0, 0, 0, 1, 0);',
    ],
)
def test_a_call_that_takes_the_gil_is_seen(call: str) -> None:
    c = f"static int __pyx_f_4unit_f(int x) {{\n  {call}\n}}\n"
    [(name, text)] = unit_functions(c)
    assert name == "unit_f"
    assert _TAKES_THE_GIL.search(text)


def generate(root: Path, folder: Path, unit: str) -> subprocess.CompletedProcess[str]:
    """Generate the C of a small engine by the project's own setup.py."""
    (folder / "pyx").mkdir(exist_ok=True)
    (folder / "pyx" / "unit.pxd").write_text(unit)
    (folder / "pyx" / "_engine.pyx").write_text(ENGINE)
    shutil.copy(root / "setup.py", folder)
    return subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin"},
    )


def test_a_unit_that_needs_no_gil_is_built(root: Path, tmp_path: Path) -> None:
    done = generate(root, tmp_path, CLEAN)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", HINTS.values(), ids=HINTS.keys())
def test_the_build_fails_on_a_performance_hint_every_time(
    root: Path, tmp_path: Path, unit: str
) -> None:
    for _ in range(2):
        done = generate(root, tmp_path, unit)
        assert done.returncode == 1
        assert "these would take the GIL in the engine:\n  pyx/unit.pxd:" in done.stderr
