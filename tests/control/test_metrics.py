"""Metrics: the promised names, true numbers, a bounded number of series."""

import ast
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

import penstock
from penstock.control import Control
from penstock.metrics_engines import ENGINE_METRICS, FIRST_BYTE_BUCKETS_S
from penstock.telemetry import choose_format, collect, make_registry
from tests.control.fakerows import FakeGroupRow, FakeRow, FakeServerRow, FakeTransfer
from tests.control.fakes import FakeClients, FakeEngine, MakeControl, engine_numbers

FACADE = [
    Path(penstock.__file__).with_name(name)
    for name in ("_engine.pyi", "_engine_rows.pyi")
]
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def exposition(
    control: Control, engines: Sequence[FakeEngine] = (), *, open_metrics: bool = False
) -> str:
    registry = make_registry(control, engines)
    gather = partial(collect, control, registry, open_metrics=open_metrics)
    return trio.run(gather).decode()


def scrape(control: Control, engines: Sequence[FakeEngine] = ()) -> Series:
    text = exposition(control, engines)
    samples = [s for family in parse_text(text) for s in family.samples]
    series = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
    assert len(series) == len(samples), "a series appears twice"
    return series


def of(series: Series, name: str) -> dict[str, float]:
    """Values of one name by their only label."""
    return {
        labels[0][1] if labels else "": value
        for (found, labels), value in series.items()
        if found == name
    }


def facade_fields(name: str) -> set[str]:
    nodes = [n for file in FACADE for n in ast.parse(file.read_text()).body]
    classes = {n.name: n for n in nodes if isinstance(n, ast.ClassDef)}
    return {
        n.target.id
        for n in classes[name].body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }


def test_the_fakes_have_the_fields_of_the_facade() -> None:
    assert set(engine_numbers()) == facade_fields("EngineStatistics") - {
        "letters_dropped_total"
    }
    assert set(FakeRow._fields) == facade_fields("ClientRow")
    assert set(FakeGroupRow._fields) == facade_fields("GroupRow")
    assert set(FakeServerRow._fields) == facade_fields("ServerRow")
    assert set(FakeTransfer._fields) == facade_fields("TransferRow")


def test_every_number_of_an_engine_is_a_metric() -> None:
    special = {"index", "cpu", "state", "responses_total", "encoded_total"}
    special |= {"first_byte_counts", "first_byte_sum_ns"}
    assert facade_fields("EngineStatistics") - special <= set(ENGINE_METRICS)


def test_engine_numbers_are_reported_per_engine(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    numbers = {key: i + 1 for i, key in enumerate(ENGINE_METRICS)}
    engine.numbers = engine_numbers(index=3, cpu=7, **numbers)
    series = scrape(make_control(), [engine])
    for key, value in numbers.items():
        assert of(series, f"penstock_{key}") == {"3": value}
    state = ("penstock_engine_state", (("cpu", "7"), ("engine", "3")))
    assert series[state[0], (*state[1], ("state", "serving"))] == 1
    assert series[state[0], (*state[1], ("state", "draining"))] == 0


def test_responses_are_counted_by_status(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    engine.numbers = engine_numbers(responses_total={200: 5, 404: 2})
    series = scrape(make_control(), [engine])
    assert of(series, "penstock_responses_total") == {"200": 5, "404": 2}


def test_responses_from_sidecars_are_counted_by_encoding(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    engine.numbers = engine_numbers(encoded_total={"br": 5, "gzip": 0, "zstd": 2})
    series = scrape(make_control(), [engine])
    assert {
        dict(labels)["encoding"]: value
        for (name, labels), value in series.items()
        if name == "penstock_encoded_responses_total"
    } == {"br": 5, "gzip": 0, "zstd": 2}


def test_first_byte_latency_has_the_promised_buckets_and_one_for_the_alert(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    """The engine counts each bucket for itself; the exposition is cumulative and
    spans all engines."""
    other = FakeEngine(index=1)
    engine.numbers = engine_numbers(
        first_byte_counts=[1, 2, 3, 4, 5, 6, 7, 8], first_byte_sum_ns=1_500_000_000
    )
    other.numbers = engine_numbers(
        index=1,
        first_byte_counts=[10, 0, 0, 0, 0, 0, 0, 1],
        first_byte_sum_ns=500_000_000,
    )
    series = scrape(make_control(), [engine, other])
    other.close()
    assert of(series, "download_latency_seconds_bucket") == {
        "0.05": 11,
        "0.1": 13,
        "0.2": 16,
        "0.35": 20,
        "0.38": 25,
        "0.5": 31,
        "1.0": 38,
        "+Inf": 47,
    }
    assert of(series, "download_latency_seconds_count") == {"": 47}
    assert of(series, "download_latency_seconds_sum") == {"": 2.0}


@pytest.mark.parametrize(("reused", "ratio"), [([0, 0], 0.0), ([3, 1], 0.5)])
def test_connection_reuse_is_a_share_of_all_requests(
    make_control: MakeControl, reused: list[int], ratio: float
) -> None:
    engines = [FakeEngine(i) for i in range(2)]
    for engine, count in zip(engines, reused, strict=True):
        engine.numbers["requests_total"] = 4
        engine.numbers["requests_reused_total"] = count
    series = scrape(make_control(), engines)
    for engine in engines:
        engine.close()
    assert of(series, "download_conn_reuse_ratio") == {"": ratio}


def test_connection_reuse_is_zero_before_the_first_request(
    make_control: MakeControl, engine: FakeEngine
) -> None:
    series = scrape(make_control(), [engine])
    assert of(series, "download_conn_reuse_ratio") == {"": 0.0}


def test_bandwidth_is_the_configured_limit_and_infinite_without_one(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control()
    control.set_limit("user_123", 5242880)
    clients.rows["10.0.0.1"] = FakeRow("10.0.0.1")
    assert of(scrape(control), "download_bandwidth_bytes_per_second") == {
        "user_123": 5242880,
        "10.0.0.1": math.inf,
    }


def test_clients_beyond_the_top_are_one_series(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[telemetry]\ntop_clients = 3")
    for i in range(100):
        row = FakeRow(
            f"c{i}", target_bps=10, bytes_total=i, mean_bps=2 * i, transfers=1
        )
        clients.rows[row.client_id] = row
    series = scrape(control)
    sent = of(series, "penstock_client_sent_bytes_total")
    assert sent == {"c99": 99, "c98": 98, "c97": 97, "other": sum(range(97))}
    assert of(series, "penstock_client_transfers")["other"] == 97
    mean = of(series, "penstock_client_mean_bytes_per_second")
    assert mean == {"c99": 198, "c98": 196, "c97": 194, "other": 2 * sum(range(97))}
    assert of(series, "download_bandwidth_bytes_per_second")["other"] == 970


def test_200_clients_are_named_by_default(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control()
    clients.rows = {f"c{i}": FakeRow(f"c{i}", bytes_total=i) for i in range(1000)}
    named = of(scrape(control), "download_bandwidth_bytes_per_second")
    assert len(named) == 201
    assert named["other"] == math.inf


def by_cause(series: Series, name: str) -> dict[tuple[str, str], float]:
    """Values by the label that is not limited_by, and limited_by."""
    return {
        tuple(value for _, value in labels): value  # type: ignore[misc]
        for (found, labels), value in series.items()
        if found == name
    }


def test_what_limits_a_client_now_is_shown_beside_what_was_configured(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[telemetry]\ntop_clients = 1\n[shaping]\ntotal_rate = 9")
    clients.rows["a"] = FakeRow(
        "a", 7, bytes_total=9, effective_bps=5, weight=300, limited_by="group"
    )
    for name, cause in (("b", "peer"), ("c", "none"), ("d", "peer")):
        clients.rows[name] = FakeRow(name, 4, effective_bps=3, limited_by=cause)
    series = scrape(control)
    effective = of(series, "penstock_client_effective_bytes_per_second")
    assert effective == {"a": 5, "other": 9}
    assert of(series, "penstock_client_weight") == {"a": 300, "other": 300}
    assert by_cause(series, "penstock_client_limited_by") == {
        ("a", "group"): 1,
        ("other", "peer"): 2,
        ("other", "none"): 1,
    }
    clients.rows["e"] = FakeRow("e", effective_bps=0)
    effective = of(scrape(control), "penstock_client_effective_bytes_per_second")
    assert effective["other"] == math.inf


def test_the_server_as_a_whole_has_a_limit_and_a_mean(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[telemetry]\ntop_clients = 1")
    clients.rows = {name: FakeRow(name, mean_bps=4) for name in "abc"}
    series = scrape(control)
    assert of(series, "penstock_total_limit_bytes_per_second") == {"": math.inf}
    assert of(series, "penstock_total_mean_bytes_per_second") == {"": 12}
    limited = make_control("[shaping]\ntotal_rate = 9")
    assert of(scrape(limited), "penstock_total_limit_bytes_per_second") == {"": 9}


def test_what_the_server_has_now_and_why_is_reported(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control("[shaping]\ntotal_rate = 9")
    series = scrape(control)
    assert of(series, "penstock_total_effective_bytes_per_second") == {"": 9}
    assert of(series, "penstock_total_limited_by") == {"none": 1}
    clients.server_row = FakeServerRow(9, effective_bps=5, limited_by="schedule")
    series = scrape(control)
    assert of(series, "penstock_total_limit_bytes_per_second") == {"": 9}
    assert of(series, "penstock_total_effective_bytes_per_second") == {"": 5}
    assert of(series, "penstock_total_limited_by") == {"schedule": 1}
    clients.server_row = FakeServerRow()
    effective = of(scrape(control), "penstock_total_effective_bytes_per_second")
    assert effective == {"": math.inf}


def test_groups_are_reported(make_control: MakeControl, clients: FakeClients) -> None:
    control = make_control()
    clients.group_rows["ci"] = FakeGroupRow(
        "ci",
        rate_bps=9,
        min_bps=2,
        weight=300,
        effective_bps=8,
        bytes_total=7,
        mean_bps=6,
        active=5,
        backlogged=4,
        limited_by="server",
    )
    clients.group_rows["free"] = FakeGroupRow("free")
    series = scrape(control)
    for name, value, of_free in (
        ("limit_bytes_per_second", 9, math.inf),
        ("guaranteed_bytes_per_second", 2, 0),
        ("weight", 300, 100),
        ("effective_bytes_per_second", 8, math.inf),
        ("sent_bytes_total", 7, 0),
        ("mean_bytes_per_second", 6, 0),
        ("active_clients", 5, 0),
        ("backlogged_clients", 4, 0),
    ):
        found = of(series, f"penstock_group_{name}")
        assert found == {"ci": value, "free": of_free}, name
    assert by_cause(series, "penstock_group_limited_by") == {
        ("ci", "server"): 1,
        ("free", "none"): 1,
    }


def test_a_hostile_client_id_stays_one_label_value(
    make_control: MakeControl, clients: FakeClients
) -> None:
    control = make_control()
    name = 'a"} 1\\n# HELP x\\'
    clients.rows[name] = FakeRow(name, target_bps=3)
    assert of(scrape(control), "download_bandwidth_bytes_per_second") == {name: 3}


def test_configuration_and_build_are_reported(make_control: MakeControl) -> None:
    control = make_control()
    control.set_limit("a", 1)
    control.reload()
    series = scrape(control)
    assert of(series, "penstock_config_version") == {"": control.version}
    assert of(series, "penstock_client_rows") == {"": 1}
    assert of(series, "penstock_config_reloads_total") == {"ok": 1, "refused": 0}
    build = next(
        dict(labels) for name, labels in series if name == "penstock_build_info"
    )
    assert build["version"] == penstock.__version__
    assert of(series, "process_open_fds")[""] > 0


def test_openmetrics_has_the_same_metrics(
    make_control: MakeControl, engine: FakeEngine, clients: FakeClients
) -> None:
    clients.rows["a"] = FakeRow("a")
    control = make_control()
    text = exposition(control, [engine], open_metrics=True)
    families = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    names = {sample.name for family in families for sample in family.samples}
    assert names == {name for name, _ in scrape(control, [engine])}
    assert {"download_latency_seconds", "penstock_requests"} <= {
        family.name for family in families
    }


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4"),
        ("text/html,*/*", "text/plain; version=0.0.4"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4"),
        ("text/plain;version=x", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=1.x", "text/plain; version=0.0.4"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2",
            "application/openmetrics-text; version=1.0.0",
        ),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(
    accept: str, content_type: str
) -> None:
    found = choose_format(accept)
    assert found.content_type.startswith(content_type)
    assert found.open_metrics == ("openmetrics" in content_type)


def test_the_engine_counts_in_the_promised_buckets() -> None:
    engine = pytest.importorskip("penstock._engine", reason="the engine is not built")
    bounds = tuple(ns / 1e9 for ns in engine.FIRST_BYTE_BOUNDS_NS)
    assert bounds == FIRST_BYTE_BUCKETS_S
