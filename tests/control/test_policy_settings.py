"""[policies.NAME] in a file: read, checked, shown, reloaded, and what it follows."""

from hashlib import sha256
from pathlib import Path

import pytest

from penstock.tree import Spec
from tests.control.fakes import FakeClients, MakeControl
from tests.control.files import load, problems, rewrite
from tests.control.test_enforcement import fires

TEXT = """
[shaping]
total_rate = "100MB/s"
[groups.batch]
rate = "40MB/s"
[clients.bob]
rate = "10MB/s"
[policies.calm]
alert = "UplinkSaturated"
labels = { site = "a" }
applies_to = ["group:batch", "client:bob"]
scale = 0.5
expires = "30m"
"""
MB = 10**6


def test_a_policy_is_read_and_shown_as_the_file_spells_it(tmp_path: Path) -> None:
    settings = load(tmp_path, TEXT)
    assert settings.policies["calm"].expires_ns == 1800 * 10**9
    assert settings.public()["policies"]["calm"] == {
        "alert": "UplinkSaturated",
        "labels": {"site": "a"},
        "applies_to": ["group:batch", "client:bob"],
        "scale": 0.5,
        "rate": None,
        "expires": "30m",
    }


def test_of_alertmanagers_token_only_that_there_is_one_is_shown(tmp_path: Path) -> None:
    digest = sha256(b"secret").hexdigest()
    text = f'[admin]\nalertmanager_token_sha256 = "{digest}"'
    admin = load(tmp_path, text).public()["admin"]
    assert admin["alertmanager_tokens"] == 1
    assert admin["tokens"] == 0
    assert digest not in str(admin)
    [problem] = problems(tmp_path, text.replace(digest, "secret"))
    assert problem.startswith("admin.alertmanager_token_sha256: a SHA-256 has 64")
    assert "'secret'" not in problem


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('alert = "UplinkSaturated"', "", "policies.calm.alert: must be set"),
        ("scale = 0.5", "", "policies.calm: say either rate, or scale"),
        ("scale = 0.5", "scale = 1.5", "policies.calm.scale: 1.5 is not a part of"),
        ("scale =", "scales =", "policies.calm.scales: unknown key; did you mean 'sc"),
        (
            '"client:bob"]',
            '"client:bop"]',
            "policies.calm.applies_to[1]: there is no [clients.bop]; did you mean 'bob",
        ),
        (
            '"client:bob"]',
            '"default"]',
            "policies.calm.applies_to[1]: default has no rate to scale: set "
            "shaping.client_rate, or say rate instead of scale",
        ),
        (
            'rate = "40MB/s"',
            "weight = 1",
            "policies.calm.applies_to[0]: group:batch has no rate to scale: set "
            "groups.batch.rate",
        ),
        ("[policies.calm]", '[policies."\\n"]', "policies.'\\n': a policy's name has"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in TEXT
    found = problems(tmp_path, TEXT.replace(old, new, 1))
    assert any(line.startswith(problem) for line in found), found


def test_more_than_fit_are_refused(tmp_path: Path) -> None:
    one = '[policies.p{}]\nalert = "A"\napplies_to = ["server"]\nrate = 1\n'
    many = "".join(one.format(i) for i in range(65))
    assert problems(tmp_path, many) == ["policies: at most 64 are possible, not 65"]


def test_a_client_without_a_rate_is_scaled_by_that_of_its_class(tmp_path: Path) -> None:
    load(
        tmp_path,
        TEXT.replace('rate = "10MB/s"', "").replace(
            "[shaping]", '[shaping]\nclient_rate = "1MB/s"'
        ),
    )


def test_what_the_api_changes_is_followed_while_a_policy_holds(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TEXT)
    control.timed.notify([fires()])
    assert clients.caps == {
        "group:batch": (20 * MB, "policy"),
        "client:bob": (5 * MB, "policy"),
    }
    control.set_limit("bob", 30 * MB)
    assert clients.caps["client:bob"] == (15 * MB, "policy")
    assert clients.rows["bob"].target_bps == 30 * MB, "what is configured stays"
    control.set_group("batch", Spec(rate_bps=10 * MB))
    assert clients.caps["group:batch"] == (5 * MB, "policy")
    control.drop_group("batch")
    assert clients.caps["group:batch"] == (20 * MB, "policy")


def test_a_reload_follows_the_file_and_keeps_what_holds(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control(TEXT)
    control.timed.notify([fires()])
    rewrite(control, TEXT.replace('"40MB/s"', '"60MB/s"').replace("0.5", "0.1"))
    control.reload()
    assert clients.caps["group:batch"] == (6 * MB, "policy")
    rewrite(control, TEXT.partition("[policies")[0])
    control.reload()
    assert clients.caps == {}
