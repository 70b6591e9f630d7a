"""Changes of the shaping tree: the file, and over it what the admin API said."""

from collections.abc import Callable

import pytest

from penstock.allowances import Allowance
from penstock.errors import PenstockError
from penstock.tree import NOTHING, Spec, TreeError
from tests.control.fakes import FakeClients, MakeControl
from tests.control.files import rewrite

DIGEST = bytes(range(32))
TREE = """
[shaping]
total_rate = "100MB/s"
client_rate = "10MB/s"
client_weight = 50
client_group = "rest"
[groups.rest]
[groups.build]
rate = "80MB/s"
min = "60MB/s"
[clients.a]
rate = "20MB/s"
min = "5MB/s"
group = "build"
[clients.b]
weight = 300
"""
MB = 10**6


def test_the_whole_tree_reaches_the_client_table(
    make_control: MakeControl, clients: FakeClients
) -> None:
    make_control(TREE)
    (configured,) = clients.configured
    assert configured["default"] == Allowance(rate_bps=10 * MB, weight=50)
    assert configured["default_group"] == "rest"
    assert configured["total"] == Allowance(rate_bps=100 * MB)
    assert configured["groups"] == [
        ("rest", Allowance()),
        ("build", Allowance(rate_bps=80 * MB, min_bps=60 * MB)),
    ]
    assert configured["clients"] == [
        ("a", Allowance(rate_bps=20 * MB, min_bps=5 * MB, weight=50), "build", ()),
        ("b", Allowance(rate_bps=10 * MB, weight=300), "rest", ()),
    ]


def test_whether_downloaders_are_told_is_a_setting_that_a_reload_changes(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("")
    assert clients.explains is False
    for wanted in (True, False):
        rewrite(control, f"[shaping]\nexplain = {str(wanted).lower()}")
        control.reload()
        assert clients.explains is wanted


def test_whether_the_kernel_paces_is_a_setting_that_a_reload_changes(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[shaping]\npace_sockets = true")
    assert clients.paces is True
    rewrite(control, "")
    control.reload()
    assert clients.paces is False


def test_a_limit_changes_the_rate_and_leaves_the_rest(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TREE)
    control.set_limit("a", 30 * MB)
    row = clients.rows["a"]
    assert (row.rate_bps, row.min_bps, row.weight) == (30 * MB, 5 * MB, 50)
    assert (row.group, row.source) == ("build", "api")
    control.set_limit("a", 30 * MB, weight=7, group="rest", ceil_bps=40 * MB)
    row = clients.rows["a"]
    assert (row.min_bps, row.weight, row.group) == (5 * MB, 7, "rest")
    assert row.ceil_bps == 40 * MB


def test_every_change_raises_the_version_by_one(make_control: MakeControl) -> None:
    control = make_control(TREE)
    versions = [
        control.set_limit("a", 30 * MB),
        control.set_group("new", NOTHING),
        control.set_client("a", Spec(group="new")),
        control.reload(),
        control.set_client("b", Spec(group="new")),
        control.drop_client("b"),
        control.drop_group("new"),
    ]
    first = versions[0]
    assert versions == list(range(first, first + 7))
    assert control.version == versions[-1]


@pytest.mark.parametrize(
    ("text", "source", "rate_bps", "group"),
    [
        (TREE, "file", 20 * MB, "build"),
        ("[shaping]\nclient_rate = 7", "default", 7, None),
        ("[shaping]\nclient_rate = 7\n[clients.a]", "default", 7, None),
    ],
)
def test_what_the_api_said_can_be_taken_back(
    make_control: MakeControl,
    clients: FakeClients,
    text: str,
    source: str,
    rate_bps: int,
    group: str | None,
) -> None:
    control = make_control(text)
    control.set_limit("a", 6 * MB)
    assert control.source_of_client("a") == "api"
    control.drop_client("a")
    row = clients.rows["a"]
    assert (row.source, row.rate_bps, row.group) == (source, rate_bps, group)
    assert control.source_of_client("a") == source
    with pytest.raises(LookupError):
        control.drop_client("a")


def test_a_group_of_the_api_can_be_taken_back(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TREE)
    control.set_group("build", Spec(rate_bps=MB * 70))
    control.set_group("new", Spec(weight=7))
    assert clients.group_rows["build"].rate_bps == 70 * MB
    control.drop_group("build")
    control.drop_group("new")
    assert clients.group_rows["build"].rate_bps == 80 * MB
    assert "new" not in clients.group_rows
    for name in ("build", "new", "rest"):
        with pytest.raises(LookupError):
            control.drop_group(name)


def test_all_spellings_of_an_address_are_one_override(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("")
    control.set_limit("2001:db8::1", 5)
    control.set_limit("2001:db8::2", 6)
    assert list(clients.rows) == ["2001:db8::/64"]
    control.drop_client("2001:db8:0:0::/64")
    assert clients.rows["2001:db8::/64"].source == "default"


def refused(change: Callable[[], int]) -> list[str]:
    with pytest.raises(TreeError) as caught:
        change()
    return [problem.line for problem in caught.value.problems]


def test_a_change_that_contradicts_the_tree_changes_nothing(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TREE)
    tree, version, rows = control.tree, control.version, dict(clients.rows)
    groups = dict(clients.group_rows)
    assert refused(lambda: control.set_limit("a", MB)) == [
        "clients.a.min: 5MB/s is above clients.a.rate 1MB/s"
    ]
    assert refused(lambda: control.set_limit("x", MB, group="bild")) == [
        "clients.x.group: there is no group 'bild'; did you mean 'build'?"
    ]
    too_much = {"min_bps": 50 * MB, "group": ""}
    assert refused(lambda: control.set_limit("x", 50 * MB, **too_much)) == [
        "groups.build.min: 60MB/s + clients.x.min: 50MB/s = 110MB/s exceed "
        "shaping.total_rate 100MB/s"
    ]
    assert (control.tree, control.version) == (tree, version)
    assert (clients.rows, clients.group_rows) == (rows, groups)


def test_a_table_that_is_full_changes_nothing(
    make_control: MakeControl, clients: FakeClients
) -> None:
    clients.row_limit = 0
    control = make_control("")
    with pytest.raises(OverflowError):
        control.set_limit("a", 5)
    assert control.overrides.clients == {}
    assert control.tree.clients == {}


def test_a_file_that_names_it_replaces_what_the_api_said(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("")
    for name in ("a", "b"):
        control.set_limit(name, 5)
        control.set_group(name, Spec(weight=5))
    rewrite(control, "[clients.a]\nweight = 9\n[groups.a]\nweight = 9")
    control.reload()
    assert clients.rows["a"].rate_bps == 0
    assert clients.rows["a"].weight == 9
    assert clients.group_rows["a"].weight == 9
    assert clients.rows["b"].rate_bps == 5
    assert clients.group_rows["b"].weight == 5
    assert [control.source_of_group(name) for name in ("a", "b")] == ["file", "api"]


def test_a_file_that_gives_a_client_only_tokens_keeps_its_limit(
    make_control: MakeControl, clients: FakeClients
) -> None:
    text = f"[groups.g]\n[clients.a]\ntoken_sha256 = ['{DIGEST.hex()}']"
    control = make_control(text)
    control.set_limit("a", 5, group="g")
    control.reload()
    row = clients.rows["a"]
    assert (row.rate_bps, row.group, row.source) == (5, "g", "api")
    assert clients.configured[-1]["clients"] == [("a", None, None, (DIGEST,))]


def test_what_the_api_left_open_follows_a_new_default_class(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[shaping]\nclient_weight = 5")
    control.set_limit("a", 7)
    control.set_limit("b", 7, weight=3)
    rewrite(control, "[shaping]\nclient_weight = 6\nclient_group = 'g'\n[groups.g]")
    before = control.version
    assert control.reload() == before + 1
    row = clients.rows["a"]
    assert (row.rate_bps, row.weight, row.group, row.source) == (7, 6, "g", "api")
    assert clients.rows["b"].weight == 3
    control.reload()
    assert clients.said == [], "nothing that they left open has changed"


def test_a_reload_that_breaks_a_promise_of_the_api_changes_nothing(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[shaping]\ntotal_rate = 100")
    control.set_group("build", Spec(min_bps=60))
    rewrite(control, "[shaping]\ntotal_rate = 50")
    with pytest.raises(PenstockError) as caught:
        control.reload()
    assert caught.value.problems == (
        "groups.build.min: 60B/s exceeds shaping.total_rate 50B/s (with what the "
        "admin API has set)",
    )
    assert control.tree.total_rate_bps == 100
    assert clients.group_rows["build"].min_bps == 60
    assert control.reloads_refused == 1


def test_what_others_depend_on_is_not_taken_back(make_control: MakeControl) -> None:
    control = make_control(
        "[shaping]\ntotal_rate = 100\n[clients.a]\nrate = 80\nmin = 60"
    )
    control.set_client("a", Spec(rate_bps=80, min_bps=40))
    control.set_group("g", NOTHING)
    control.set_client("b", Spec(min_bps=60, group=""))
    control.set_client("c", Spec(group="g"))
    assert refused(lambda: control.drop_client("a")) == [
        "clients.a.min: 60B/s + clients.b.min: 60B/s = 120B/s exceed "
        "shaping.total_rate 100B/s"
    ]
    assert refused(lambda: control.drop_group("g")) == [
        "clients.c.group: there is no group 'g': add it to [groups]"
    ]
    control.drop_client("c")
    control.drop_group("g")
