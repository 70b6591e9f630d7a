"""Changes while the server runs: reload and limits."""

from pathlib import Path

import pytest

from penstock.allowances import Allowance, ClientEntry
from penstock.errors import PenstockError
from tests.control.fakes import FakeClients, MakeControl
from tests.control.files import rewrite

DIGEST = bytes(range(32))


def test_settings_reach_the_client_table_at_the_start(
    make_control: MakeControl, clients: FakeClients
) -> None:
    make_control(
        "[shaping]\nclient_rate = 7\ntotal_rate = 9\n[clients.a]\nrate = 3\n"
        f"token_sha256 = ['{DIGEST.hex()}']\n[clients.b]"
    )
    assert clients.configured == [
        {
            "default": Allowance(rate_bps=7),
            "default_group": None,
            "total": Allowance(rate_bps=9),
            "groups": [],
            "clients": [
                ClientEntry("a", Allowance(rate_bps=3), None, (DIGEST,)),
                ClientEntry("b", None, None, ()),
            ],
        }
    ]


def test_no_rate_means_no_limit(
    make_control: MakeControl, clients: FakeClients
) -> None:
    make_control("")
    assert clients.configured[0]["default"].rate_bps == 0
    assert clients.configured[0]["total"].rate_bps == 0


def test_a_reload_applies_limits_and_raises_the_version(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[clients.a]\nrate = 3")
    before = control.version
    rewrite(control, "[clients.a]\nrate = 4\n[server]\ndrain_timeout = '1s'")
    assert control.reload() == control.version == before + 1
    assert clients.rows["a"].target_bps == 4
    assert control.settings.server.drain_timeout_ns == 10**9
    assert (control.reloads_ok, control.reloads_refused) == (1, 0)


def test_a_reload_keeps_a_limit_that_the_api_set(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("")
    control.set_limit("a", 5)
    control.reload()
    assert clients.rows["a"].target_bps == 5


def test_a_flag_still_wins_after_a_reload(make_control: MakeControl) -> None:
    control = make_control("", **{"--client-rate": "5"})
    rewrite(control, "[shaping]\nclient_rate = 6")
    control.reload()
    assert control.settings.shaping.client_rate_bps == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server]\nlisten = ['127.0.0.1:1']", "server.listen: can not change"),
        ("[server]\ncpus = '0'", "server.cpus: can not change"),
        ("[server]\nprecompressed = ['br']", "server.precompressed: can not change"),
        ("[admin]\nlisten = '127.0.0.1:1'", "admin.listen: can not change"),
        ("[limits]\nidle_timeout = '1s'", "limits.idle_timeout: can not change"),
        ("[shaping]\nclient_rate = 'fast'", "shaping.client_rate: 'fast'"),
        ("[shaping", "not TOML"),
    ],
)
def test_a_refused_reload_changes_nothing(
    make_control: MakeControl, clients: FakeClients, text: str, problem: str
) -> None:
    control = make_control("[clients.a]\nrate = 3")
    settings, version = control.settings, control.version
    rewrite(control, f"{text}\n[clients.a]\nrate = 9\n")
    with pytest.raises(PenstockError, match=problem):
        control.reload()
    assert control.settings is settings
    assert control.version == version
    assert clients.rows["a"].target_bps == 3
    assert (control.reloads_ok, control.reloads_refused) == (0, 1)


def test_every_key_that_needs_a_restart_is_named(make_control: MakeControl) -> None:
    control = make_control("")
    rewrite(control, "[limits]\npipes = 1\nmax_ranges = 1\n[shaping]\ntotal_rate = 1")
    with pytest.raises(PenstockError) as caught:
        control.reload()
    named = [problem.partition(":")[0] for problem in caught.value.problems]
    assert sorted(named) == ["limits.max_ranges", "limits.pipes"]


def test_a_reload_that_does_not_fit_the_table_changes_nothing(
    make_control: MakeControl, clients: FakeClients
) -> None:
    clients.row_limit = 1
    control = make_control("[clients.a]\nrate = 3")
    settings = control.settings
    rewrite(control, "[clients.a]\nrate = 4\n[clients.b]\nrate = 5")
    with pytest.raises(PenstockError, match="more clients than 1 rows"):
        control.reload()
    assert control.settings is settings
    assert clients.rows["a"].target_bps == 3


def test_a_reload_after_the_file_vanished_changes_nothing(
    make_control: MakeControl, tmp_path: Path
) -> None:
    control = make_control("[clients.a]\nrate = 3")
    (tmp_path / "penstock.toml").unlink()
    with pytest.raises(PenstockError, match="can not be read"):
        control.reload()
    assert control.settings.clients["a"].rate_bps == 3
