"""Results in a file: all that later runs and other programs need, and back again."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from perf.errors import PerfError
from perf.results import Result, Timeline

JSON_SCHEMA = 2
"""Grows when a reader of the JSON would have to change."""
FILE_BYTES_MAX = 64 * 2**20
"""What is longer was not written here: a suite of 100 rounds takes less than 1 MiB."""
# A terminal would obey them, and XML has no place for them.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Failure:
    """A workload of a suite that could not be measured."""

    workload: str
    reason: str


@dataclass(slots=True)
class Record:
    """What one file holds: one workload's result, or a suite's."""

    results: list[Result]
    suite: str | None = None
    """Its name; None for one workload that was measured by itself."""
    failures: list[Failure] = field(default_factory=list)

    def title(self) -> str:
        return self.suite or self.results[0].workload

    def result(self, workload: str) -> Result | None:
        return next((r for r in self.results if r.workload == workload), None)


def as_json(record: Record) -> dict[str, object]:
    """One object for one workload; for a suite an object with a list of those."""
    schema: dict[str, object] = {"schema": JSON_SCHEMA}
    if record.suite is None:
        return schema | _result_json(record.results[0])
    return schema | {
        "suite": record.suite,
        "results": [_result_json(result) for result in record.results],
        "failures": [asdict(failure) for failure in record.failures],
    }


def _result_json(result: Result) -> dict[str, object]:
    return asdict(result) | {
        "summary": [
            _summary(result, case, server)
            for case in result.cases()
            for server in result.servers(case)
        ],
    }


def _summary(result: Result, case: str, server: str) -> dict[str, object]:
    """For readers that do not want to do the arithmetic themselves."""
    found = {m.key: result.spread(case, server, m.key) for m in result.metrics}
    ratios = {
        metric.key: result.ratio(case, server, metric.key)
        for metric in result.metrics
        if metric.ratio and server != result.subject
    }
    return {
        "case": case,
        "server": server,
        "figures": {key: asdict(value) for key, value in found.items() if value},
        "subject_ratio": {key: asdict(value) for key, value in ratios.items() if value},
        "limited_by": result.limits(case, server),
    }


def load(path: Path) -> Record:
    """A record that ``as_json`` made.

    Raises:
        PerfError: the file cannot be read, is no record, or one of another schema.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise PerfError(f"{path}: longer than {FILE_BYTES_MAX} bytes")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise PerfError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PerfError(f"{path}: no JSON: {error}") from error
    if not isinstance(found, dict) or "schema" not in found:
        raise PerfError(f"{path}: not what --json of this harness writes")
    if found["schema"] != JSON_SCHEMA:
        raise PerfError(
            f"{path}: has JSON schema {found['schema']!r}, this harness reads "
            f"{JSON_SCHEMA}: measure again with the same harness"
        )
    return _record(path, _printable(found))


def _record(path: Path, found: Mapping[str, Any]) -> Record:
    try:
        record: Record = (
            adapter(Record).validate_python(found)
            if "suite" in found
            else Record([adapter(Result).validate_python(found)])
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise PerfError(f"{path}: {where}: {first['msg']}") from error
    for result in record.results:
        if reason := _nonsense(result):
            raise PerfError(f"{path}: {result.workload}: {reason}")
    return record


@cache
def adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _nonsense(result: Result) -> str | None:
    """What the types do not say."""
    if not result.samples:
        return "holds no samples"
    for sample in result.samples:
        for key, value in sample.values.items():
            if not math.isfinite(value):
                return f"{sample.server}, {sample.case}: {key} is no finite number"
        if not all(map(_drawable, sample.timelines)):
            return f"{sample.server}, {sample.case}: a timeline is not finite"
    return None


def _drawable(timeline: Timeline) -> bool:
    values = [value for line in timeline.lines.values() for value in line]
    values += [*timeline.limits.values(), *timeline.events.values()]
    return all(map(math.isfinite, values)) and 0 < timeline.slot_seconds < math.inf


def _printable(found: Any) -> Any:
    if isinstance(found, str):
        return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", found)
    if isinstance(found, list):
        return [_printable(item) for item in found]
    if isinstance(found, dict):
        return {_printable(key): _printable(value) for key, value in found.items()}
    return found


def write(path: Path, text: str) -> None:
    """Write a file, and its folder where that is missing.

    Raises:
        PerfError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PerfError(f"{path}: cannot be written: {error.strerror}") from error


def write_json(record: Record, path: Path) -> None:
    write(path, json.dumps(as_json(record), indent=2, ensure_ascii=False) + "\n")
