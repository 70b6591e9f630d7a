"""The shaping tree: what holds for whom, and which trees contradict themselves."""

import pytest

from penstock.allowances import Allowance
from penstock.tree import NO_GROUP, NOTHING, Spec, Tree

MB = 10**6
DEFAULT = Spec(
    rate_bps=10 * MB,
    ceil_bps=15 * MB,
    weight=50,
    burst_bytes=5 * MB,
    peak_bps=12 * MB,
    group="all",
)


def lines(tree: Tree) -> list[str]:
    return [problem.line for problem in tree.problems()]


def test_a_client_without_anything_has_what_its_class_has() -> None:
    tree = Tree(default=DEFAULT, groups={"all": NOTHING})
    assert tree.member("10.0.0.1") == tree.stranger()
    assert tree.stranger().allowed == Allowance(
        10 * MB, 15 * MB, 0, 50, 5 * MB, 12 * MB
    )
    assert tree.stranger().group == "all"


def test_who_has_a_rate_of_its_own_takes_nothing_that_belongs_to_a_rate() -> None:
    """Else a client of 20 MB/s would have a ceil of 15 MB/s, which is none."""
    tree = Tree(
        default=DEFAULT, groups={"all": NOTHING}, clients={"a": Spec(rate_bps=20 * MB)}
    )
    assert tree.member("a").allowed == Allowance(20 * MB, weight=50)
    assert tree.member("a").group == "all"
    assert lines(tree) == []


def test_what_is_said_of_a_client_without_a_rate_changes_only_that() -> None:
    tree = Tree(default=DEFAULT, clients={"a": Spec(ceil_bps=30 * MB, weight=9)})
    assert tree.member("a").allowed == Allowance(
        10 * MB, 30 * MB, 0, 9, 5 * MB, 12 * MB
    )


def test_no_limit_and_no_group_can_be_said() -> None:
    spec = Spec(rate_bps=0, group=NO_GROUP)
    tree = Tree(default=DEFAULT, groups={"all": NOTHING}, clients={"a": spec})
    assert tree.member("a") == (Allowance(weight=50), None)
    assert lines(tree) == []


def test_all_spellings_of_an_address_are_one_client() -> None:
    tree = Tree(clients={"2001:db8::/64": Spec(rate_bps=7)})
    assert tree.member("2001:db8::1").allowed.rate_bps == 7
    assert tree.spec("2001:db8:0:0:1::/64") == Spec(rate_bps=7)


def test_an_overlay_replaces_whole_nodes_and_leaves_the_tree_as_it_was() -> None:
    below = Tree(groups={"g": Spec(weight=3)}, clients={"a": Spec(weight=7)})
    over = below.overlaid({"h": NOTHING}, {"a": Spec(rate_bps=5)})
    assert over.member("a").allowed == Allowance(rate_bps=5)
    assert list(over.groups) == ["g", "h"]
    assert below.member("a").allowed == Allowance(weight=7)
    assert list(below.groups) == ["g"]


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        (
            Tree(clients={"a": Spec(rate_bps=10 * MB, ceil_bps=5 * MB)}),
            "clients.a.ceil: 5MB/s is below clients.a.rate 10MB/s",
        ),
        (
            Tree(groups={"g": Spec(rate_bps=10 * MB, peak_bps=5 * MB)}),
            "groups.g.peak: 5MB/s is below groups.g.rate 10MB/s",
        ),
        (
            Tree(groups={"g": Spec(rate_bps=10 * MB, min_bps=20 * MB)}),
            "groups.g.min: 20MB/s is above groups.g.rate 10MB/s",
        ),
        (
            Tree(default=Spec(rate_bps=10 * MB, ceil_bps=9 * MB)),
            "shaping.client_ceil: 9MB/s is below shaping.client_rate 10MB/s",
        ),
        (
            Tree(default=Spec(rate_bps=10 * MB), clients={"a": Spec(ceil_bps=MB)}),
            "clients.a.ceil: 1MB/s is below shaping.client_rate 10MB/s",
        ),
        (
            Tree(default=Spec(rate_bps=10 * MB), clients={"a": Spec(min_bps=11 * MB)}),
            "clients.a.min: 11MB/s is above shaping.client_rate 10MB/s",
        ),
        (
            Tree(clients={"a": Spec(ceil_bps=MB)}),
            "clients.a.ceil: needs clients.a.rate: without one there is no limit",
        ),
        (
            Tree(groups={"g": Spec(burst_bytes=MB)}),
            "groups.g.burst: needs groups.g.rate: without one there is no limit",
        ),
        (
            Tree(default=Spec(peak_bps=MB)),
            "shaping.client_peak: needs shaping.client_rate: without one there is no "
            "limit",
        ),
        (
            Tree(groups={"build": NOTHING}, clients={"a": Spec(group="bild")}),
            "clients.a.group: there is no group 'bild'; did you mean 'build'?",
        ),
        (
            Tree(default=Spec(group="x")),
            "shaping.client_group: there is no group 'x': add it to [groups]",
        ),
    ],
)
def test_a_contradiction_is_named_by_both_of_its_sides(
    tree: Tree, problem: str
) -> None:
    assert lines(tree) == [problem]


def test_what_is_wrong_with_the_class_is_not_repeated_for_its_clients() -> None:
    wrong = Spec(rate_bps=10, ceil_bps=5)
    clients = {f"c{i}": Spec(weight=7) for i in range(100)}
    assert len(lines(Tree(default=wrong, clients=clients))) == 1


def test_what_follows_from_each_other_is_no_contradiction() -> None:
    edge = Spec(rate_bps=10, ceil_bps=10, min_bps=10, peak_bps=10, burst_bytes=1)
    assert lines(Tree(10, edge, {"g": edge}, {"a": edge._replace(group="g")})) == []


def guaranteed(mb: int, **others: object) -> Spec:
    return Spec(min_bps=mb * MB)._replace(**others)  # type: ignore[arg-type]


def test_overcommitted_guarantees_are_refused_with_the_arithmetic() -> None:
    tree = Tree(
        total_rate_bps=100 * MB,
        groups={"build": guaranteed(60), "test": guaranteed(50), "rest": NOTHING},
    )
    assert lines(tree) == [
        "groups.build.min: 60MB/s + groups.test.min: 50MB/s = 110MB/s exceed "
        "shaping.total_rate 100MB/s"
    ]


def test_clients_without_a_group_are_children_of_the_server_too() -> None:
    clients = {"a": guaranteed(1), "b": guaranteed(1, group="build")}
    tree = Tree(100 * MB, groups={"build": guaranteed(100)}, clients=clients)
    assert lines(tree) == [
        "groups.build.min: 100MB/s + clients.a.min: 1MB/s = 101MB/s exceed "
        "shaping.total_rate 100MB/s"
    ]


@pytest.mark.parametrize(
    ("group", "bound"),
    [
        (Spec(rate_bps=50 * MB, min_bps=20 * MB), "groups.g.min 20MB/s"),
        (Spec(rate_bps=20 * MB), "groups.g.rate 20MB/s"),
    ],
)
def test_members_share_the_guarantee_of_their_group_or_else_its_rate(
    group: Spec, bound: str
) -> None:
    fits = {"a": guaranteed(12, group="g"), "b": guaranteed(8, group="g")}
    assert lines(Tree(groups={"g": group}, clients=fits)) == []
    over = fits | {"c": guaranteed(1, group="g")}
    assert lines(Tree(groups={"g": group}, clients=over)) == [
        "clients.a.min: 12MB/s + clients.b.min: 8MB/s + clients.c.min: 1MB/s = 21MB/s "
        f"exceed {bound}"
    ]


def test_members_of_a_group_without_a_guarantee_rely_on_the_server() -> None:
    clients = {"a": guaranteed(60, group="g"), "b": guaranteed(50, group="h")}
    groups = {"g": Spec(rate_bps=100 * MB), "h": guaranteed(50)}
    assert lines(Tree(110 * MB, groups=groups, clients=clients)) == []
    assert lines(Tree(100 * MB, groups=groups, clients=clients)) == [
        "clients.a.min: 60MB/s + groups.h.min: 50MB/s = 110MB/s exceed "
        "shaping.total_rate 100MB/s"
    ]


def test_the_group_of_the_class_counts_for_guarantees() -> None:
    clients = {"a": guaranteed(2)}
    tree = Tree(default=Spec(group="g"), groups={"g": guaranteed(1)}, clients=clients)
    assert lines(tree) == ["clients.a.min: 2MB/s exceeds groups.g.min 1MB/s"]


def test_without_a_limit_above_everything_can_be_promised() -> None:
    clients = {"a": guaranteed(10**6), "b": guaranteed(10**6, group="g")}
    assert lines(Tree(groups={"g": NOTHING}, clients=clients)) == []


def test_a_long_sum_is_cut_but_adds_up() -> None:
    clients = {f"c{i}": guaranteed(1) for i in range(1000)} | {"big": guaranteed(7)}
    (line,) = lines(Tree(999 * MB, clients=clients))
    assert line.startswith("clients.big.min: 7MB/s + clients.c0.min: 1MB/s + ")
    assert "+ 995 others: 995MB/s = 1007MB/s exceed shaping.total_rate" in line
    assert len(line) < 300


def test_everything_that_is_wrong_is_told_at_once() -> None:
    tree = Tree(
        total_rate_bps=MB,
        default=Spec(rate_bps=5, ceil_bps=4),
        groups={"g": Spec(rate_bps=5, peak_bps=4), "h": guaranteed(2)},
        clients={"a": Spec(group="none", weight=7), "b": Spec(rate_bps=1, min_bps=2)},
    )
    assert [line.partition(":")[0] for line in lines(tree)] == [
        "shaping.client_ceil",
        "groups.g.peak",
        "clients.a.group",
        "clients.b.min",
        "groups.h.min",
    ]


def test_a_change_of_one_client_is_judged_by_it_and_the_guarantees() -> None:
    tree = Tree(
        total_rate_bps=MB,
        clients={"a": Spec(rate_bps=5, ceil_bps=4), "b": guaranteed(2)},
    )
    assert [p.key for p in tree.problems_with("c")] == [("clients", "b", "min")]
    assert len(tree.problems_with("a")) == 2
