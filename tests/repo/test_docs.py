"""docs/configuration.md names every key with its default; links lead somewhere."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from penstock.allowances import Cap, Limiter
from penstock.calendars import format_time_of_day
from penstock.durations import format_duration
from penstock.policies import Policy
from penstock.quotas import Quota
from penstock.schedules import Schedule
from penstock.settings import Client, Group, Settings
from penstock.steered import CHANGES

_ROW = re.compile(r"^\| `(?P<key>\w+)`[^|]*\|(?P<cells>.*)\|$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
_BULLETS = re.compile(r"^\* ((?:`\w+`,? ?)+):", re.MULTILINE)
_TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Documented in words: what the number None stands for.
_IN_WORDS = {"root", "cpus", "token_sha256", "total_rate", "state_dir", "header"}
_IN_WORDS |= {"alertmanager_token_sha256", "directory"}
_IN_WORDS |= {f"client_{key}" for key in ("rate", "ceil", "burst", "peak", "group")}
_IN_WORDS |= {"client_upload_rate"}
# Of each group, client, schedule or quota: not in the settings when there is none.
_OF_EACH: dict[str, type[BaseModel]] = {
    "groups": Group,
    "clients": Client,
    "schedules": Schedule,
    "quotas": Quota,
    "policies": Policy,
}


@pytest.fixture(scope="module")
def sections(root: Path) -> dict[str, dict[str, str]]:
    """Section -> key -> the rest of its row."""
    text = (root / "docs" / "configuration.md").read_text()
    parts = re.split(r"^## `\[+(\w+)[^\n]*\n", text, flags=re.MULTILINE)[1:]
    return {
        name: {row["key"]: row["cells"] for row in _ROW.finditer(body)}
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def models() -> dict[str, type[BaseModel]]:
    found = {
        name: type(value)
        for name, value in Settings.model_validate({})
        if isinstance(value, BaseModel)
    }
    return found | _OF_EACH


def test_every_section_and_key_is_documented_and_no_other(
    sections: dict[str, dict[str, str]],
) -> None:
    documented = {name: set(rows) for name, rows in sections.items()}
    assert documented == {name: keys(model) for name, model in models().items()}


def test_defaults_are_documented_as_they_are(
    sections: dict[str, dict[str, str]],
) -> None:
    settings = Settings.model_validate({}).model_dump(mode="json", by_alias=True)
    for section, rows in sections.items():
        for key, cells in rows.items():
            if section in _OF_EACH or key in _IN_WORDS:
                continue
            default = settings[section][key]
            shown = str(default).lower() if isinstance(default, bool) else default
            spellings = {f"`{shown}`", f'`"{shown}"`', f"`{default}`".replace("'", '"')}
            assert any(s in cells for s in spellings), (section, key, default)


def test_defaults_of_timed_limits_are_documented_as_they_are(
    sections: dict[str, dict[str, str]],
) -> None:
    for section in ("schedules", "quotas", "policies"):
        for name, field in _OF_EACH[section].model_fields.items():
            cells = sections[section][field.alias or name]
            if field.is_required():
                assert " required " in cells
            elif name.endswith("_minutes"):
                assert f'`"{format_time_of_day(field.default)}"`' in cells
            elif name == "days":
                assert field.default == tuple(range(7))
                assert " every day " in cells
            elif name.endswith("_ns"):
                assert f'`"{format_duration(field.default)}"`' in cells
            elif not field.get_default(call_default_factory=True):
                assert cells.startswith(" none "), (section, name)
            else:
                assert f'`"{field.default}"`' in cells, (section, name)


def test_the_example_of_a_policy_obeys_the_alerts_of_one_server(root: Path) -> None:
    text = (root / "docs" / "configuration.md").read_text()
    examples = [tomllib.loads(toml) for toml in _TOML.findall(text)]
    [policies] = [found["policies"] for found in examples if "policies" in found]
    [policy] = (Policy.model_validate(said) for said in policies.values())
    assert "instance" in policy.labels


def names_in_bullets(root: Path, heading: str) -> set[str]:
    """What the list below a heading of docs/configuration.md says something of."""
    text = (root / "docs" / "configuration.md").read_text()
    _, _, after = text.partition(f"\n### {heading}\n")
    body, _, _ = after.partition("\n#")
    return {
        name for names in _BULLETS.findall(body) for name in names[1:-1].split("`, `")
    }


def test_every_kind_of_event_is_documented(root: Path) -> None:
    caps, controllers = set(get_args(Cap)), {kind for kind, _ in CHANGES}
    kinds = {"limit", "group", "config", "lost"} | caps | controllers
    assert names_in_bullets(root, "Events") == kinds


def test_every_cause_that_limits_is_documented(root: Path) -> None:
    assert names_in_bullets(root, "Why is it slow?") == set(get_args(Limiter))


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md"]
    + [f"docs/{name}.md" for name in ("configuration", "deployment", "uploads")],
)
def test_links_to_files_lead_somewhere(root: Path, document: str) -> None:
    file = root / document
    links = _LINK.findall(file.read_text())
    assert links
    assert [link for link in links if not (file.parent / link).exists()] == []
