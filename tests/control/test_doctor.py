"""``penstock doctor``: what is missing, and the remedy that fits the cause."""

import errno
from typing import Any

import pytest

from penstock.doctor import (
    NEEDED_FEATURES,
    NEEDED_OPCODES,
    NEEDED_SETUP_FLAGS,
    Facts,
    Finding,
    Verdict,
    judge,
)
from penstock.doctor_report import report


def facts(error: int = 0, **changed: Any) -> Facts:
    probe: Any = {
        "errno": error,
        "setup_flags": dict.fromkeys(NEEDED_SETUP_FLAGS, True),
        "features": dict.fromkeys(NEEDED_FEATURES, True),
        "opcodes": dict.fromkeys(NEEDED_OPCODES, True),
        "provided_buffer_ring": True,
    }
    for key in list(changed):
        if key in probe:
            probe[key] = changed.pop(key)
    good: dict[str, Any] = {
        "kernel": "6.1.0-13-amd64",
        "io_uring_disabled": 0,
        "seccomp": 0,
        "nofile": None,
        "memlock_bytes": None,
        "cpus": 4,
        "available": ["reno", "cubic"],
        "allowed": ["reno", "cubic"],
    }
    return Facts(probe=probe, **{**good, **changed})


def finding(found: Facts, subject: str) -> Finding:
    return next(f for f in judge(found) if f.subject == subject)


def test_a_machine_that_has_everything_needs_nothing() -> None:
    findings = list(judge(facts()))
    assert {f.verdict for f in findings} == {Verdict.OK}
    assert {f.remedy for f in findings} == {""}


@pytest.mark.parametrize(
    ("kernel", "verdict"),
    [
        ("6.1.0-13-amd64", Verdict.OK),
        ("6.18.44", Verdict.OK),
        ("10.0", Verdict.OK),
        ("6.0.12", Verdict.MISSING),
        ("5.15.0-91-generic", Verdict.MISSING),
        ("weird", Verdict.MISSING),
    ],
)
def test_the_kernel_is_compared_as_numbers(kernel: str, verdict: Verdict) -> None:
    assert finding(facts(kernel=kernel), "kernel").verdict is verdict


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [
        (None, 0, Verdict.OK),
        (0, 0, Verdict.OK),
        (1, 0, Verdict.OK),
        (1, errno.EPERM, Verdict.MISSING),
        (2, errno.EPERM, Verdict.MISSING),
    ],
)
def test_the_sysctl_matters_when_it_stops_this_user(
    value: int | None, error: int, verdict: Verdict
) -> None:
    found = facts(error, io_uring_disabled=value)
    switch = finding(found, "kernel.io_uring_disabled")
    assert switch.verdict is verdict
    assert ("sysctl -w kernel.io_uring_disabled=0" in switch.remedy) is (
        verdict is Verdict.MISSING
    )


@pytest.mark.parametrize(
    ("error", "seccomp", "remedy"),
    [
        (errno.EPERM, 2, "seccomp profile"),
        (errno.EPERM, 0, "kernel.io_uring_disabled=0"),
        (errno.ENOSYS, 0, "Linux 6.1 or newer"),
        (errno.ENOMEM, 0, "memlock"),
    ],
)
def test_the_remedy_fits_why_there_is_no_ring(
    error: int, seccomp: int, remedy: str
) -> None:
    ring = finding(facts(error, seccomp=seccomp), "io_uring")
    assert ring.verdict is Verdict.MISSING
    assert errno.errorcode[error] in ring.found
    assert remedy in ring.remedy


def test_abilities_are_not_judged_without_a_ring() -> None:
    subjects = {f.subject for f in judge(facts(errno.EPERM))}
    assert not {s for s in subjects if s.startswith("io_uring ")}


@pytest.mark.parametrize(
    ("key", "name", "subject"),
    [
        ("setup_flags", "DEFER_TASKRUN", "io_uring setup flags"),
        ("features", "EXT_ARG", "io_uring features"),
        ("opcodes", "SPLICE", "io_uring operations"),
    ],
)
def test_each_lacking_ability_is_named(key: str, name: str, subject: str) -> None:
    whole = facts().probe[key]  # type: ignore[literal-required]
    lacking = finding(facts(0, **{key: {**whole, name: False}}), subject)
    assert lacking.verdict is Verdict.MISSING
    assert lacking.found == f"without {name}"


def test_provided_buffers_are_required() -> None:
    found = finding(facts(provided_buffer_ring=False), "io_uring buffers")
    assert found.verdict is Verdict.MISSING


@pytest.mark.parametrize(
    ("changed", "subject", "verdict"),
    [
        ({"nofile": 65536}, "open files", Verdict.OK),
        ({"nofile": 4096}, "open files", Verdict.ADVICE),
        ({"nofile": 256}, "open files", Verdict.MISSING),
        ({"memlock_bytes": 8 << 20}, "locked memory", Verdict.OK),
        ({"memlock_bytes": 8 << 20, "cpus": 64}, "locked memory", Verdict.ADVICE),
        ({"memlock_bytes": 65536}, "locked memory", Verdict.ADVICE),
        ({"allowed": ["reno"]}, "congestion controls", Verdict.ADVICE),
    ],
)
def test_limits_are_judged_by_what_they_allow(
    changed: dict[str, Any], subject: str, verdict: Verdict
) -> None:
    found = finding(facts(**changed), subject)
    assert found.verdict is verdict
    assert bool(found.remedy) is (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("changed", "code"), [({}, 0), ({"nofile": 4096}, 0), ({"nofile": 256}, 1)]
)
def test_only_a_missing_requirement_fails_and_its_remedy_is_printed(
    changed: dict[str, Any], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(list(judge(facts(**changed)))) == code
    printed = capsys.readouterr().out
    assert ("remedy: " in printed) is bool(changed)
    assert "\x1b" not in printed
