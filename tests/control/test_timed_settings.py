"""[[schedules]] and [quotas.NAME] in a file: read, checked, shown, reloaded."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.errors import PenstockError
from penstock.usage import Sent
from tests.control.api import api
from tests.control.fakes import FakeClients, MakeControl
from tests.control.test_control import rewrite
from tests.control.test_settings import load, problems

BOTH = """
[server]
state_dir = "state"
[clients.bob]
[[schedules]]
applies_to = ["client:bob", "server"]
days = "mon-fri"
from = "22:00"
to = "06:00"
timezone = "Europe/Berlin"
rate = "5MB/s"
[[schedules]]
applies_to = ["default"]
rate = "1MB/s"
[quotas.daily]
applies_to = ["default"]
per = "day"
bytes = "50GB"
stages = [{ at = 1, rate = "2MB/s" }]
"""


def test_schedules_and_quotas_are_read_and_shown_as_the_file_spells_them(
    tmp_path: Path,
) -> None:
    settings = load(tmp_path, BOTH)
    assert [s.rate_bps for s in settings.schedules] == [5_000_000, 1_000_000]
    assert settings.quotas["daily"].volume_bytes == 50 * 10**9
    shown = settings.public()
    assert shown["schedules"][0] == {
        "applies_to": ["client:bob", "server"],
        "days": ["mon", "tue", "wed", "thu", "fri"],
        "from": "22:00",
        "to": "06:00",
        "timezone": "Europe/Berlin",
        "rate": "5MB/s",
    }
    assert shown["quotas"]["daily"]["stages"] == [{"at": 1.0, "rate": "2MB/s"}]


def test_a_relative_state_folder_is_beside_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, BOTH).server.state_dir == tmp_path / "state"
    assert load(tmp_path, "[server]\nstate_dir = '/x'").server.state_dir == Path("/x")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'state_dir = "state"',
            "",
            "quotas: usage is to survive a restart: say by server.state_dir where it "
            "is kept",
        ),
        (
            '["client:bob", "server"]',
            '["server", "client:bop"]',
            "schedules[0].applies_to[1]: there is no [clients.bop]; did you mean",
        ),
        (
            '["client:bob", "server"]',
            '["group:x"]',
            "schedules[0].applies_to[0]: there is no [groups.x]; add it, without a key "
            "if need be",
        ),
        (
            'from = "22:00"',
            'form = "22:00"',
            "schedules[0].form: unknown key; did you ",
        ),
        ('per = "day"', "", "quotas.daily.per: must be set"),
        ('per = "day"', 'per = "week"', "quotas.daily.per: must be 'day' or 'month'"),
        (
            "at = 1,",
            "att = 1,",
            "quotas.daily.stages[0].att: unknown key; did you mean",
        ),
        (
            "[quotas.daily]",
            '[quotas."\\n"]',
            "quotas.'\\n': a quota's name has 1 to 64",
        ),
        ("[[schedules]]", "[schedules]", "not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in BOTH
    found = problems(tmp_path, BOTH.replace(old, new, 1))
    assert any(line.startswith(problem) for line in found), found


def test_schedules_that_are_no_list_are_explained(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "[schedules]\nrate = 1")
    assert problem == (
        "schedules: must be a list of at most 256: begin each with [[schedules]]"
    )


def test_more_than_fit_are_refused(tmp_path: Path) -> None:
    one = '[[schedules]]\napplies_to = ["server"]\nrate = 1\n'
    assert len(load(tmp_path, one * 256).schedules) == 256
    assert "at most 256" in problems(tmp_path, one * 257)[0]
    quota = (
        '[quotas.q{}]\napplies_to = ["server"]\nper = "day"\nbytes = 1\nstages = []\n'
    )
    many = "".join(quota.format(i) for i in range(65))
    stage = many.replace("[]", "[{ at = 1, rate = 1 }]")
    found = problems(tmp_path, f"[server]\nstate_dir = 's'\n{stage}")
    assert found == ["quotas: at most 64 are possible, not 65"]


def test_an_address_may_be_spelled_otherwise_where_it_is_named(tmp_path: Path) -> None:
    load(
        tmp_path,
        '[clients."2001:db8::/64"]\n'
        '[[schedules]]\napplies_to = ["client:2001:db8::7"]\nrate = 1',
    )


def test_a_reload_may_change_both_but_not_where_usage_is_kept(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(BOTH)
    changed = BOTH.replace("50GB", "60GB").replace('"1MB/s"', '"2MB/s"')
    rewrite(control, changed)
    control.reload()
    assert control.timed.ledger.quotas["daily"].volume_bytes == 60 * 10**9
    assert clients.caps["default"] == (2_000_000, "schedule")
    rewrite(control, changed.replace('state_dir = "state"', 'state_dir = "other"'))
    with pytest.raises(PenstockError, match=r"server\.state_dir: can not change"):
        control.reload()


async def test_the_api_shows_what_is_used_of_the_quotas_that_count_a_client(
    make_control: MakeControl, clients: FakeClients
) -> None:
    both = BOTH.replace('applies_to = ["default"]\nper', 'applies_to = ["server"]\nper')
    control = make_control(both)
    control.set_limit("bob", 5)
    clients.counted.sent = [Sent("bob", 50 * 10**9 + 1, is_default=False)]
    control.timed.tick()
    assert clients.caps["server"] == (2_000_000, "quota")
    async with api(control) as client:
        [shown] = (await client.get("/clients/bob")).json()["quotas"]
    ends_at = shown.pop("ends_at")
    assert datetime.fromisoformat(ends_at) > datetime.now(UTC)
    assert shown == {
        "quota": "daily",
        "applies_to": "server",
        "used_bytes": 50 * 10**9 + 1,
        "volume_bytes": 50 * 10**9,
        "stage": 1,
        "rate_bps": 2_000_000,
    }
