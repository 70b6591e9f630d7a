"""A rate context is made in a ``with``, nowhere else: it must be closed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Leaks some, and looks at what then happens.
LEAKS = "test_limiter.py"


def outside_with(source: str) -> list[int]:
    """Lines on which ``.context`` of a limiter is used, but not as what a ``with``, or
    an ``enter_context`` of an ExitStack, closes."""
    tree = ast.parse(source)
    limiters = set(_named_limiters(tree))
    closed = {id(call.func) for call in _closed_calls(tree)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "context"
        and _is_limiter(node.value, limiters)
        and id(node) not in closed
    ]


def _is_limiter(node: ast.expr, limiters: set[str]) -> bool:
    """By its name, its annotation, or what it was made by."""
    if isinstance(node, ast.Call):
        return _last_word(node.func) == "Limiter"
    word = _last_word(node)
    return word in limiters or word.lower().lstrip("_").endswith("limiter")


def _last_word(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _named_limiters(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and _says_limiter(node.annotation):
            yield node.arg
        elif isinstance(node, ast.AnnAssign) and _says_limiter(node.annotation):
            yield _last_word(node.target)
        elif isinstance(node, ast.Assign) and _makes_limiter(node.value):
            yield from (_last_word(target) for target in node.targets)


def _says_limiter(annotation: ast.expr | None) -> bool:
    if annotation is None:
        return False
    words = {_last_word(n) for n in ast.walk(annotation) if isinstance(n, ast.expr)}
    quoted = {n.value for n in ast.walk(annotation) if isinstance(n, ast.Constant)}
    return "Limiter" in words | quoted


def _makes_limiter(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and _last_word(value.func) == "Limiter"


def _closed_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            for item in node.items:
                yield from _calls(item.context_expr)
        elif isinstance(node, ast.Call) and _last_word(node.func) == "enter_context":
            for argument in node.args:
                yield from _calls(argument)


def _calls(node: ast.expr) -> Iterator[ast.Call]:
    """The call itself, or both of a conditional one."""
    if isinstance(node, ast.Call):
        yield node
    elif isinstance(node, ast.IfExp):
        yield from _calls(node.body)
        yield from _calls(node.orelse)


@pytest.mark.parametrize(
    "source",
    [
        "context = limiter.context('a')",
        "limiter.context('a')",
        "self._limiter.context('a').take(5)",
        "return_it = lambda: limiter.context('a')",
        "def make(limiter):\n    return limiter.context('a')",
        "with open(limiter.context('a')) as f: pass",
        "with x as y:\n    context = limiter.context('a')",
        "async def f():\n    async with limiter.context('a'): pass",
        "make = limiter.context\nwith make('a'): pass",
        "contexts = [limiter.context(c) for c in clients]",
        "Limiter(rows).context('a')",
        "bucket = Limiter(rows)\nbucket.context('a')",
        "def f(rates: Limiter): rates.context('a')",
        "def f(rates: 'Limiter'): rates.context('a')",
        "def f(rates: limiter.Limiter | None): rates.context('a')",
        "class A:\n    rates: Limiter\n    def f(self): self.rates.context('a')",
        "admin_limiter.context('a')",
        "stack.push(limiter.context('a'))",
    ],
)
def test_a_context_outside_of_a_with_is_found(source: str) -> None:
    assert len(outside_with(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "with limiter.context('a') as context: pass",
        "with limiter.context('a'): pass",
        "with open(f) as g, self._limiter.context('a') as context: pass",
        "async def f():\n    with limiter.context('a') as c: await c.pay(5)",
        "context = stack.enter_context(limiter.context('a'))",
        "with (limiter.context('a') if a else limiter.context('b')) as c: pass",
        "with Limiter(rows).context('a'): pass",
        "context = request.context('a')",
        "context = ssl.context\ncontext.load()",
        "multiprocessing.context('spawn')",
        "limiter.open",
        "limiter.contexts('a')",
        "limiter = trio.CapacityLimiter(5)\nlimiter.total_tokens",
        "context = 'limiter.context()'",
    ],
)
def test_what_is_closed_or_no_limiter_is_left_alone(source: str) -> None:
    assert outside_with(source) == []


def test_every_context_of_the_repository_is_made_in_a_with(root: Path) -> None:
    files = [
        path
        for folder in ("server", "perf", "tests")
        for path in (root / folder).rglob("*.py")
        if path.name != LEAKS
    ]
    assert len(files) > 100
    found = {str(path): outside_with(path.read_text()) for path in files}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_the_leaks_of_the_limiters_own_tests_are_seen(root: Path) -> None:
    assert outside_with((root / "tests" / "control" / LEAKS).read_text())
