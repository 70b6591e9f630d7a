"""Builds the extensions of penstock.

``penstock._engine`` is shipped. The others are built only with ``PENSTOCK_TESTING=1``:
``penstock._testing`` wraps the same units for the tests, ``perf._shaper`` measures
them, and those of ``perf/load/`` are the harness' own load.

Other switches: ``PENSTOCK_DEBUG=1`` (engine invariants abort), ``PENSTOCK_SANITIZE=1``
(ASan and UBSan), ``LLHTTP_DIR`` (a folder with ``api.c``, ``http.c``, ``llhttp.c`` and
``llhttp.h``; Debian's ``node-llhttp`` by default), ``PENSTOCK_SKIP_EXTENSIONS=1``
(metadata only: ``./dev`` compiles in place).
"""

import os
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Errors, ExprNodes, PyrexTypes, Symtab  # noqa: F401
from setuptools import Extension, setup

DEBIAN_LLHTTP_SOURCES = Path("/usr/share/llhttp")
DEBIAN_LLHTTP_HEADERS = Path("/usr/share/include/llhttp")
GENERATED = "build/cython"
HARNESS = ("_openloop", "_blocks")
NEVER_TAKE_THE_GIL = {"_engine.pyx", "_shaper.pyx", *(f"{n}.pyx" for n in HARNESS)}


def switch(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def llhttp() -> tuple[list[str], str]:
    """C sources and include folder of llhttp.

    Raises:
        SystemExit: it is not installed; names the remedy.
    """
    override = os.environ.get("LLHTTP_DIR")
    sources = Path(override) if override else DEBIAN_LLHTTP_SOURCES
    headers = sources if override else DEBIAN_LLHTTP_HEADERS
    files = [sources / name for name in ("api.c", "http.c", "llhttp.c")]
    missing = [str(f) for f in [*files, headers / "llhttp.h"] if not f.is_file()]
    if missing:
        raise SystemExit(
            f"penstock: llhttp not found ({missing[0]}). Install it with "
            "`apt-get install node-llhttp`, or set LLHTTP_DIR to its sources."
        )
    return [str(f) for f in files], str(headers)


def pkg_config(*packages: str) -> dict[str, list[str]]:
    """Compiler and linker words for ``packages``.

    Raises:
        SystemExit: a package is missing; names the remedy.
    """

    def words(flag: str) -> list[str]:
        found = subprocess.run(
            ["pkg-config", flag, *packages],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode:
            raise SystemExit(
                f"penstock: {found.stderr.strip()}\n"
                "Install with `apt-get install pkg-config liburing-dev libssl-dev`."
            )
        return found.stdout.split()

    return {"compile": words("--cflags"), "link": words("--libs")}


def concerns_the_engine(source: str) -> bool:
    """Whether a hint there is about code that must run without the GIL."""
    path = Path(source)
    unit = path.parent.name == "pyx" and path.suffix == ".pxd"
    return unit or path.name in NEVER_TAKE_THE_GIL


def collect_performance_hints() -> list[str]:
    """The list that Cython's performance hints about the engine will go to.

    A hint means that the generated code would take the GIL. Cython only prints them,
    and its modules import the function by name: it is replaced in each of them.
    """
    found: list[str] = []
    original = Errors.performance_hint

    def collect(position, message, env):
        source = position[0].get_filenametable_entry()
        hint = f"{source}:{position[1]}: {message}"
        if concerns_the_engine(source) and hint not in found:
            found.append(hint)
        return original(position, message, env)

    compiler = [
        m for name, m in sys.modules.items() if name.startswith("Cython.Compiler.")
    ]
    for module in compiler:
        if getattr(module, "performance_hint", None) is original:
            module.performance_hint = collect
    return found


def extensions() -> list[Extension]:
    """What is shipped, and with ``PENSTOCK_TESTING`` what is not."""
    sources, include = llhttp()
    libraries = pkg_config("liburing", "libcrypto")
    compile_args = ["-O2", "-g1", "-std=gnu11", "-fvisibility=hidden", "-Wno-unused"]
    # Pools and slabs reuse memory for other types, and sockaddr is cast by design.
    compile_args.append("-fno-strict-aliasing")
    compile_args.append("-Wno-sign-compare")  # of Cython's own loop variables
    link_args = [*libraries["link"], "-lm"]
    macros = [("LLHTTP_STRICT_MODE", "1"), ("CYTHON_USE_MODULE_STATE", "0")]
    if switch("PENSTOCK_DEBUG") or switch("PENSTOCK_SANITIZE"):
        macros.append(("PENSTOCK_DEBUG", "1"))
    if switch("PENSTOCK_SANITIZE"):
        words = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-O1"]
        compile_args += words
        link_args += words
    parts = {"penstock._engine": ["pyx/_engine.pyx", *sources]}
    if switch("PENSTOCK_TESTING"):
        parts["penstock._testing"] = ["pyx/_testing.pyx", *sources]
        parts["perf._shaper"] = ["pyx/_shaper.pyx", *sources]
        for name in HARNESS:
            parts[f"perf.load.{name}"] = [f"perf/load/{name}.pyx"]
    return [
        Extension(
            name,
            files,
            include_dirs=["pyx", include],
            define_macros=macros,
            extra_compile_args=compile_args + libraries["compile"],
            extra_link_args=link_args,
            depends=[str(p) for p in Path("pyx").glob("*.p*")],
        )
        for name, files in parts.items()
    ]


def compiled() -> list[Extension]:
    """The extensions with their generated C.

    Raises:
        SystemExit: a part of the engine would take the GIL.
    """
    hints = collect_performance_hints()
    modules = cythonize(
        extensions(),
        include_path=["pyx"],
        build_dir=GENERATED,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "show_performance_hints": True,
        },
    )
    if hints:
        # Up-to-date C is not generated again, and then there would be no hint.
        for generated in Path(GENERATED).rglob("*.c"):
            generated.unlink()
        raise SystemExit(
            "penstock: these would take the GIL in the engine:\n  " + "\n  ".join(hints)
        )
    return modules


setup(ext_modules=[] if switch("PENSTOCK_SKIP_EXTENSIONS") else compiled())
