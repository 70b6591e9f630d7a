import importlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from perf import record, workloads
from perf.errors import PerfError
from perf.record import Failure, Record
from perf.results import Result
from tests.perf.samples import measured


def single() -> Record:
    found = measured({"penstock": [3.0, 9.0, 2.0], "nginx": [4.0, 10.0, 4.0]})
    found.samples = [
        replace(s, limited_by="client" if s.server == "nginx" else "server")
        for s in found.samples
    ]
    return Record([found])


def suite() -> Record:
    [one] = single().results
    failures = [Failure("idle", "no descriptors")]
    return Record([one, replace(one, workload="large")], "suite", failures)


def written(folder: Path, found: Record) -> Path:
    path = folder / "new" / "run.json"
    record.write_json(found, path)
    return path


def changed(folder: Path, **values: Any) -> Path:
    path = written(folder, single())
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


def test_json_holds_every_sample_and_the_summary(tmp_path: Path) -> None:
    loaded = json.loads(written(tmp_path, single()).read_text())
    assert len(loaded["samples"]) == 6
    nginx = loaded["summary"][1]
    assert nginx["server"] == "nginx"
    assert nginx["subject_ratio"]["cost"]["median"] == 0.75
    assert nginx["limited_by"] == ["client"]


@pytest.mark.parametrize("made", [single, suite])
def test_what_is_loaded_is_what_was_written(tmp_path: Path, made: Any) -> None:
    path = written(tmp_path, made())
    loaded = record.load(path)
    assert asdict(loaded) == asdict(made())
    assert record.as_json(loaded) == json.loads(path.read_text())


def test_json_fits_the_schema_that_its_types_give() -> None:
    schema = record.adapter(Record).json_schema()
    content = json.loads(json.dumps(record.as_json(suite())))
    jsonschema.validate(content, schema)
    content["results"][0]["samples"][0]["values"]["cost"] = "cheap"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_what_readers_rely_on_changes_only_together_with_the_schema_number() -> None:
    """A field that may be absent is no change; a new one that must be there is."""
    schema = record.adapter(Record).json_schema()
    required = {name: part["required"] for name, part in schema["$defs"].items()}
    assert (record.JSON_SCHEMA, schema["required"], required) == (
        2,
        ["results"],
        {
            "Failure": ["workload", "reason"],
            "Machine": [
                *("taken_at", "cpu_model", "cpus", "memory_bytes", "kernel", "python"),
                *("congestion_control", "congestion_pinned", "server_cpus"),
                *("load_cpu", "versions"),
            ],
            "Metric": ["key", "title", "unit"],
            "Result": ["workload", "machine", "metrics"],
            "Sample": ["server", "case", "round", "values"],
            "Timeline": ["title", "unit", "slot_seconds", "lines"],
        },
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "not what --json"),
        ("{}", "not what --json"),
        ('{"schema": 1}', "has JSON schema 1, this harness reads 2"),
        ('{"schema": 2}', "workload: Field required"),
        ('{"schema": 2, "suite": "x", "results": [{}]}', "results.0.workload: Field"),
    ],
)
def test_what_is_no_record_is_refused_with_file_and_place(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(PerfError, match=message) as caught:
        record.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PerfError, match="No such file"):
        record.load(tmp_path / "no.json")


def test_a_file_too_long_to_be_a_record_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, single())
    monkeypatch.setattr(record, "FILE_BYTES_MAX", path.stat().st_size - 1)
    with pytest.raises(PerfError, match="longer than"):
        record.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    sample = {"server": "a", "case": "b", "round": 0, "values": {"cost": value}}
    with pytest.raises(PerfError, match="a, b: cost is no finite number"):
        record.load(changed(tmp_path, samples=[sample]))


def test_a_result_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PerfError, match="small: holds no samples"):
        record.load(changed(tmp_path, samples=[]))


def test_control_characters_of_a_file_never_reach_a_terminal(tmp_path: Path) -> None:
    [loaded] = record.load(changed(tmp_path, notes=["a\x1b[2Jb\nc"])).results
    assert loaded.notes == ["a\N{REPLACEMENT CHARACTER}[2Jb\nc"]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PerfError, match="cannot be written"):
        record.write_json(single(), tmp_path / "file" / "run.json")


@pytest.mark.parametrize("name", workloads.__all__)
def test_every_metric_that_is_related_to_peers_knows_its_good_direction(
    name: str,
) -> None:
    """Without it a comparison could not tell a regression from an improvement."""
    metrics = importlib.import_module(f"perf.workloads.{name}").METRICS
    assert [m.key for m in metrics if m.ratio and m.better is None] == []


def test_a_result_knows_whether_a_server_met_the_bound_in_every_round() -> None:
    found = measured({"penstock": [1.0, 2.0], "nginx": [1.0]})
    assert found.passed("1 KiB", "nginx") is None
    for second, expected in ((True, True), (False, False)):
        judged: Result = replace(found, samples=list(found.samples))
        judged.samples[0] = replace(judged.samples[0], passed=True)
        judged.samples[1] = replace(judged.samples[1], passed=second)
        assert judged.passed("1 KiB", "penstock") is expected
