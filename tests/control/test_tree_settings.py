"""What a file says of the shaping tree; what is wrong with it is named by its key."""

from pathlib import Path

import pytest

from penstock.tree import NO_GROUP, Spec
from tests.control.files import load, problems

MB = 10**6


def test_every_key_of_a_group_and_a_client_is_read(tmp_path: Path) -> None:
    plan = """
        rate = "50MB/s"
        ceil = "60MB/s"
        min = "10MB/s"
        weight = 300
        burst = "1MiB"
        peak = "55MB/s"
        """
    text = f"[shaping]\ntotal_rate = '1Gbit'\n[groups.ci]{plan}[groups.rest]"
    tree = load(tmp_path, f"{text}\n[clients.a]{plan}group = 'ci'\n[clients.b]").tree()
    spec = Spec(50 * MB, 60 * MB, 10 * MB, 300, 1 << 20, 55 * MB)
    assert tree.total_rate_bps == 125 * MB
    assert tree.groups == {"ci": spec, "rest": Spec()}
    assert tree.clients == {"a": spec._replace(group="ci")}


def test_the_default_class_is_read(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [shaping]
        client_rate = 10
        client_ceil = 20
        client_weight = 30
        client_burst = 40
        client_peak = 50
        client_group = "g"
        [groups.g]
        [clients.a]
        group = ""
        """,
    )
    assert settings.tree().default == Spec(10, 20, None, 30, 40, 50, "g", "off")
    assert settings.tree().clients == {"a": Spec(group=NO_GROUP)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[groups.a]\nweight = 0", "groups.a.weight: 0 is not from 1 to 10000"),
        ("[groups.a]\nweight = 10001", "groups.a.weight: 10001 is not from 1 to"),
        ("[groups.a]\nweight = '7'", "groups.a.weight: "),
        ("[groups.a]\nburst = 0", "groups.a.burst: 0 is not from 1 to"),
        ("[groups.a]\nburst = '2TB'", "groups.a.burst: 2000000000000 is not from 1"),
        ("[groups.a]\nmin = 0", "groups.a.min: 0 bytes per second is not from 1"),
        ("[groups.a]\ncell = 1", "groups.a.cell: unknown key; did you mean 'ceil'?"),
        ("[groups.a]\ngroup = 'a'", "groups.a.group: unknown key; possible are rate"),
        ("[groups.'']", "groups.: the name of a group has 1 to 64 bytes"),
        ("[groups]\na = 1", "groups.a: must be a table, not 1"),
        ("[clients.a]\ngroup = 'x'", "clients.a.group: there is no group 'x'"),
        (
            "[shaping]\nclient_group = ''",
            "shaping.client_group: the name of a group has 1 to 64 bytes",
        ),
        (
            "[shaping]\ntotal_rate='100MB/s'\n[groups.build]\nmin='60 MB/s'\n"
            "[groups.test]\nmin='50 MB/s'",
            "groups.build.min: 60MB/s + groups.test.min: 50MB/s = 110MB/s exceed",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_key(
    tmp_path: Path, text: str, problem: str
) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(problem)


def test_a_tree_that_can_be_read_is_checked_whatever_is_wrong_elsewhere(
    tmp_path: Path,
) -> None:
    tree = "[groups.g]\nrate = 5\nceil = 4\n[clients.a]\ngroup = 'h'"
    found = problems(tmp_path, f"[limits]\npipes = 0\n{tree}", **{"--cpus": "x"})
    assert [problem.partition(":")[0] for problem in found] == [
        "--cpus",
        "limits.pipes",
        "groups.g.ceil",
        "clients.a.group",
    ]
    broken = problems(tmp_path, f"{tree}\nrate = 'fast'")
    assert [problem.partition(":")[0] for problem in broken] == ["clients.a.rate"]
