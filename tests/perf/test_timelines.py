"""What happened over time, on the page."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from perf import page
from perf.errors import PerfError
from perf.page import timelines
from perf.page.panels import blocks
from perf.record import Record, as_json, load, write_json
from perf.results import Result, Timeline
from tests.perf.samples import measured

RATES = Timeline(
    "rates",
    "MB/s",
    0.1,
    {"a": [1.0, 2.0, 3.0], "$b_c$": [3.0, 2.0, 1.0]},
    {"limit": 4.0},
    {"stops": 0.15},
)


def over_time(peers: bool = True) -> Result:
    found = measured(
        {"penstock": [3.0, 9.0]} | ({"nginx": [4.0, 5.0]} if peers else {})
    )
    found.samples = [replace(sample, timelines=[RATES]) for sample in found.samples]
    return found


@pytest.mark.parametrize("peers", [True, False])
def test_each_server_has_its_timeline_of_the_first_round(peers: bool) -> None:
    [block] = blocks(over_time(peers))
    titles = list(block.timelines)
    prefix = "" if peers else "1 KiB: "
    assert titles[0] == f"{prefix}penstock: rates"
    assert len(titles) == (2 if peers else 1)
    text = page.render(Record([over_time(peers)]))
    assert text.count('<figure class="wide">') == len(titles)
    assert "slots of 100 ms" in text


def test_a_timeline_says_its_figures_in_words() -> None:
    assert timelines.description(RATES) == (
        "a: mean 2, 1 to 3 MB/s. $b_c$: mean 2, 1 to 3 MB/s. limit: 4 MB/s. "
        "stops at 0.15 s"
    )


def test_names_and_events_of_a_timeline_are_drawn_as_they_are() -> None:
    drawn = timelines.draw(RATES, "name", "title")
    assert drawn.count("$b_c$") == 2  # in the legend, in the description
    for text in (">a</text>", ">limit</text>", ">stops</text>"):
        assert text in drawn


@pytest.mark.parametrize(
    "values", [[0.0], [0.0] * 9, [5.0], [1e9, 0.0], [float(n) for n in range(5000)], []]
)
def test_any_line_can_be_drawn_and_stays_small(values: list[float]) -> None:
    drawn = timelines.draw(replace(RATES, lines={"a": values}), "name", "title")
    assert ET.fromstring(drawn).find("title") is not None
    assert len(drawn) < 60_000
    coordinates = re.findall(r' [xy]="([^"]+)"', drawn)
    assert all(abs(float(number)) < 1e6 for number in coordinates)


def test_a_long_line_is_averaged_not_cut() -> None:
    found, width = timelines.averaged([1.0, 3.0] * timelines.STEPS_MAX)
    assert width == 2
    assert set(found) == {2.0}
    assert len(found) == timelines.STEPS_MAX


def test_timelines_survive_the_file_and_only_finite_ones(tmp_path: object) -> None:
    path = tmp_path / "run.json"  # type: ignore[operator]
    write_json(Record([over_time()]), path)
    loaded = load(path)
    assert as_json(loaded) == as_json(Record([over_time()]))
    broken = over_time()
    bad = replace(RATES, lines={"a": [float("inf")]})
    broken.samples = [replace(s, timelines=[bad]) for s in broken.samples]
    write_json(Record([broken]), path)
    with pytest.raises(PerfError, match="a timeline is not finite"):
        load(path)
