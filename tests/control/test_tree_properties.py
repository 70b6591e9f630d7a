"""Whatever is asked of the shaping tree, in whatever order, promises can be kept, the
client table knows what holds, and a refusal changes nothing."""

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings, strategies as st

from penstock.control import Control
from penstock.errors import PenstockError
from penstock.loading import Source
from penstock.tree import Spec, Tree, TreeError
from tests.control.fakes import FakeClients

NAMES = "abc"
rates = st.sampled_from([None, 10, 20, 40])
specs = st.builds(
    Spec,
    rate_bps=st.sampled_from([None, 0, 10, 20, 40]),
    ceil_bps=rates,
    min_bps=rates,
    weight=st.sampled_from([None, 1, 300]),
    peak_bps=rates,
    burst_bytes=st.none(),
    group=st.none(),
)
specs_of_clients = st.builds(
    lambda spec, group: spec._replace(group=group),
    specs,
    st.sampled_from([None, "", *NAMES]),
)
names = st.sampled_from(NAMES)


def file_text(
    total: int | None, group: str | None, nodes: list[tuple[str, str, Spec]]
) -> str:
    lines = ["[shaping]", "client_rate = 20"]
    lines += [f"total_rate = {total}"] if total else []
    lines += [f"client_group = '{group}'"] if group else []
    for kind, name, spec in {node[:2]: node for node in nodes}.values():
        said = {k.removesuffix("_bps"): v for k, v in spec._asdict().items() if v}
        lines += [f"[{kind}.{name}]", *(f"{k} = {v!r}" for k, v in said.items())]
    return "\n".join(lines)


files = st.builds(
    file_text,
    st.sampled_from([None, 20, 60]),
    st.sampled_from([None, None, *NAMES]),
    st.lists(
        st.one_of(
            st.tuples(st.just("groups"), names, specs),
            st.tuples(st.just("clients"), names, specs_of_clients),
        ),
        max_size=4,
    ),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set_client"), names, specs_of_clients),
        st.tuples(st.just("set_group"), names, specs),
        st.tuples(st.just("set_limit"), names, st.sampled_from([5, 10, 40])),
        st.tuples(st.just("drop_client"), names),
        st.tuples(st.just("drop_group"), names),
        st.tuples(st.just("reload"), files),
    ),
    max_size=20,
)


@dataclass(frozen=True)
class Everything:
    """What a refusal may not change."""

    version: int
    tree: Tree
    rows: dict[str, object]
    groups: dict[str, object]


def everything(control: Control, clients: FakeClients) -> Everything:
    return Everything(
        control.version, control.tree, dict(clients.rows), dict(clients.group_rows)
    )


def check_promises(tree: Tree) -> None:
    """By addition, not by the code that judges."""
    members = {name: tree.member(name) for name in tree.clients}
    nodes = [*map(tree.group, tree.groups), *(m.allowed for m in members.values())]
    for node in nodes:
        assert node.min_bps <= (node.rate_bps or 10**15)
        for more in (node.ceil_bps, node.peak_bps):
            assert not more or node.rate_bps <= more
    promised = sum(m.allowed.min_bps for m in members.values() if m.group is None)
    for name in tree.groups:
        group = tree.group(name)
        inside = sum(m.allowed.min_bps for m in members.values() if m.group == name)
        assert inside <= (group.min_bps or group.rate_bps or 10**15)
        promised += max(group.min_bps, inside)
    assert promised <= (tree.total_rate_bps or 10**15)
    assert {m.group for m in members.values()} - {None} <= set(tree.groups)


def check_table(tree: Tree, clients: FakeClients) -> None:
    assert set(clients.group_rows) == set(tree.groups)
    for name, row in clients.group_rows.items():
        allowed = tree.group(name)
        assert (row.rate_bps, row.min_bps) == (allowed.rate_bps, allowed.min_bps)
        assert (row.ceil_bps, row.weight) == (allowed.ceil_bps, allowed.weight)
    for client_id, known in clients.rows.items():
        allowed, group = tree.member(client_id)
        assert (known.rate_bps, known.min_bps) == (allowed.rate_bps, allowed.min_bps)
        assert (known.ceil_bps, known.weight) == (allowed.ceil_bps, allowed.weight)
        assert known.group == group


@settings(max_examples=300, deadline=None)
@given(steps)
def test_promises_hold_and_refusals_change_nothing(
    steps: list[tuple[object, ...]],
) -> None:
    clients = FakeClients()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "penstock.toml"
        file.write_text("[shaping]\nclient_rate = 20\ntotal_rate = 60")
        source = Source(file, {"ROOT": folder})
        control = Control(source, source.load(), clients)
        for step, *arguments in steps:
            before = everything(control, clients)
            if step == "reload":
                file.write_text(str(arguments.pop()))
            change: Callable[..., int] = getattr(control, str(step))
            done = False
            with contextlib.suppress(TreeError, PenstockError, LookupError):
                change(*arguments)
                done = True
            if done:
                assert control.version == before.version + 1
            else:
                assert everything(control, clients) == before
            check_promises(control.tree)
            check_table(control.tree, clients)
