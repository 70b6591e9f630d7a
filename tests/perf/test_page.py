import importlib.util
import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from perf import page
from perf.compare import compare
from perf.errors import PerfError
from perf.page import assemble, plots
from perf.page.assemble import glance, period, shared_facts
from perf.page.panels import Mark, Panel, Row, beside_one, blocks
from perf.record import Failure, Record
from perf.results import Metric, Result, Sample
from perf.stats import Spread
from tests.perf.samples import COST, MACHINE, measured

HOSTILE = '<script src="https://evil.example/x.js">$x^2$ & "quoted" \'</script>'
# What makes a browser ask somebody else, were it there.
LOADING = {"src", "srcset", "data", "poster", "action", "background", "ping"}
# What HTML lets stand without an end tag; the rest of the page must be balanced.
VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and all of its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def ids(self) -> list[str]:
        return [
            attributes["id"] for _, attributes in self.elements if "id" in attributes
        ]


def result() -> Result:
    found = measured({"penstock": [3.0, 9.0, 2.0], "nginx": [4.0, 10.0, 4.0]})
    found.samples += measured({"penstock": [1.0], "nginx": [2.0]}, case="2 KiB").samples
    found.notes.append("a note")
    return found


def suite() -> Record:
    other = replace(result(), workload="large", about="Large files.")
    return Record([result(), other], "suite", [Failure("idle", "no descriptors")])


def hostile() -> Record:
    found = measured({"penstock": [1.0], HOSTILE: [2.0]}, case=HOSTILE)
    found.metrics = [Metric("cost", HOSTILE, "µs", ratio=True, better="lower")]
    found.workload, found.notes, found.about = HOSTILE, [HOSTILE], HOSTILE
    found.machine = replace(MACHINE, cpu_model=HOSTILE, versions={HOSTILE: HOSTILE})
    return Record([found, found], HOSTILE, [Failure(HOSTILE, HOSTILE)])


def rendered(record: Record) -> str:
    return page.render(record, compare(record, record))


@pytest.mark.parametrize("make", [suite, hostile, lambda: Record([result()])])
def test_the_page_asks_nobody_for_anything(make: object) -> None:
    assert callable(make)
    text = rendered(make())
    parsed = Page(text)
    assert parsed.open == []
    for tag, attributes in parsed.elements:
        assert tag not in ("script", "iframe", "img", "object", "embed", "base")
        assert not LOADING & attributes.keys()
        for key in ("href", "xlink:href"):
            assert attributes.get(key, "#").startswith(("#", "data:,"))
        assert not key_is_handler(attributes)
        assert "url(" not in re.sub(
            r"url\(#[\w-]+\)", "", " ".join(attributes.values())
        )
    [style] = re.findall(r"<style\b.*?>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    policy = parsed.of("meta")[3]["content"]
    assert "default-src 'none'" in policy


def key_is_handler(attributes: dict[str, str]) -> bool:
    return any(key.startswith("on") for key in attributes)


def test_hostile_names_are_shown_as_text_and_nothing_else() -> None:
    text = rendered(hostile())
    assert "<script" not in text
    shown = " ".join(" ".join(Page(text).text).split())
    assert shown.count(" ".join(HOSTILE.split())) > 10


def test_every_case_server_note_failure_and_circumstance_is_there() -> None:
    text = " ".join(Page(page.render(suite())).text)
    for part in (
        *("small", "large", "1 KiB", "2 KiB", "penstock", "nginx", "a note"),
        *("idle", "no descriptors", "Large files.", "chip, 2 cores", "Linux"),
        "cubic, pinned at both ends",
    ):
        assert part in text, part


def test_where_nothing_is_sent_the_page_names_no_load_and_no_congestion_control() -> (
    None
):
    names = [
        name for name, _ in assemble.facts(replace(MACHINE, congestion_control=""))
    ]
    assert "Measured on" in names
    assert not {"Congestion control", "Server on", "Load on"} & set(names)


def test_the_contents_lead_to_every_part_and_ids_are_unique() -> None:
    parsed = Page(rendered(suite()))
    ids = Counter(parsed.ids())
    assert [name for name, count in ids.items() if count > 1] == []
    targets = [a["href"] for a in parsed.of("a")]
    assert len(targets) == 5  # at a glance, comparison, small, large, not measured
    for target in targets:
        assert target.removeprefix("#") in ids


def test_references_inside_drawings_lead_somewhere() -> None:
    parsed = Page(rendered(suite()))
    ids = set(parsed.ids())
    used = [a["href"] for a in parsed.of("use")]
    clips = re.findall(r"url\(#([\w-]+)\)", str(parsed.elements))
    assert used
    assert {name.removeprefix("#") for name in used} | set(clips) <= ids


def test_every_drawing_has_a_name_and_says_its_figures() -> None:
    parsed = Page(page.render(suite()))
    drawings = parsed.of("svg")
    assert len(drawings) == 8  # two workloads, two cases, ratio and figure
    ids = set(parsed.ids())
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= ids
    text = "".join(parsed.text)
    assert "penstock ÷ peer: cost, 1 KiB" in text
    assert "penstock: 3.00 (2.00–9.00). nginx: 4.00 (4.00–10.00)" in text


def test_every_table_has_a_caption_and_names_its_rows_and_columns() -> None:
    parsed = Page(rendered(suite()))
    assert len(parsed.of("table")) == len(parsed.of("caption")) == 6
    assert {a.get("scope") for a in parsed.of("th")} == {"row", "col"}
    scrolled = [a for a in parsed.of("div") if a.get("class") == "scroll"]
    assert all(a["tabindex"] == "0" and a["aria-labelledby"] for a in scrolled)


def test_a_regression_stands_out_in_words() -> None:
    worse = measured({"penstock": [9.0] * 5, "nginx": [4.0] * 5})
    better = measured({"penstock": [3.0] * 5, "nginx": [4.0] * 5})
    text = page.render(Record([worse]), compare(Record([better]), Record([worse])))
    assert "small: 1 worse, 0 better, 0 same" in text
    assert '<b class="worse">worse</b>' in text


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_an_absent_library_is_one_line_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "perf.page.assemble.find_spec", lambda n: None if n == library else real(n)
    )
    with pytest.raises(PerfError, match=rf"{library}.*\./dev bench.*pip install"):
        page.render(suite())


def test_where_only_one_row_is_measured_the_cases_are_the_rows() -> None:
    found = measured({"penstock": [1.0]})
    found.samples.append(Sample("penstock", "2 KiB", 0, {"cost": 2.0}, passed=False))
    [block] = blocks(found)
    [panel] = block.panels
    assert [(row.label, row.role) for row in panel.rows] == [
        ("1 KiB", "subject"),
        ("2 KiB", "worse"),
    ]


def test_quantiles_of_one_unit_share_a_plot() -> None:
    found = measured({"penstock": [1.0], "nginx": [2.0]})
    keys = ("p50_us", "p99_us", "max_us", "max_ms")
    found.metrics = [Metric(key, key, key[-2:], better="lower") for key in keys]
    found.samples = [
        replace(sample, values=dict.fromkeys(keys, 5.0)) for sample in found.samples
    ]
    panels = [(p.kind, p.title) for p in blocks(found)[0].panels]
    assert panels == [
        ("quantiles", "p50_us, p99_us, max_us [us]"),
        ("figures", "max_ms [ms]"),
    ]


@pytest.mark.parametrize(
    ("spread", "better", "role"),
    [
        (Spread(0.7, 0.8, 0.9), "lower", "better"),
        (Spread(0.7, 0.8, 0.9), "higher", "worse"),
        (Spread(1.1, 1.2, 1.3), "lower", "worse"),
        (Spread(0.9, 1.0, 1.1), "lower", "same"),
        (Spread(0.7, 0.8, 0.9), None, "same"),
    ],
)
def test_a_ratio_is_good_or_bad_only_when_its_whole_range_is(
    spread: Spread, better: object, role: str
) -> None:
    assert beside_one(spread, better) == role  # type: ignore[arg-type]


def test_verdicts_are_one_line_of_the_overview_and_failed_cases_are_named() -> None:
    found = measured({"penstock": [1.0]})
    found.metrics = [replace(COST, ratio=False)]
    found.samples = [
        Sample("penstock", case, 0, {"cost": 1.0}, passed=case != "b") for case in "abc"
    ]
    [line] = glance(found)
    assert (line.passed, line.failed) == ("2 of 3", ["b"])


@pytest.mark.parametrize(
    "values",
    [(0.0,), (-3.0, 2.0), (5.0,), (1e-9, 1e9), (7.0, 7.0), tuple(range(1, 500))],
)
@pytest.mark.parametrize("kind", ["figures", "quantiles", "ratios", "changes"])
def test_any_finite_figure_can_be_drawn(kind: str, values: tuple[float, ...]) -> None:
    found = Spread(min(values), values[0], max(values))
    row = Row("row", "text", "subject", [Mark("P50", found, values)])
    panel = Panel(kind, "title", "", [row])  # type: ignore[arg-type]
    drawn = ET.fromstring(plots.draw(panel, "name", "title"))
    assert drawn.find("title") is not None
    coordinates = re.findall(r' [xy]="([^"]+)"', ET.tostring(drawn, encoding="unicode"))
    assert coordinates
    assert all(abs(float(number)) < 1e6 for number in coordinates)


def test_a_name_with_a_dollar_is_no_formula() -> None:
    row = Row("$a_b$", "$1", "peer", [Mark("", Spread(1.0, 1.0, 1.0), [1.0])])
    drawn = plots.draw(Panel("figures", "title", "", [row]), "name", "title")
    assert ">$a_b$</text>" in drawn


def test_a_drawing_stays_small_whatever_the_number_of_rounds() -> None:
    many = [1.0 + number / 1e5 for number in range(10_000)]
    row = Row("row", "text", "subject", [Mark("", Spread(1.0, 1.05, 1.1), many)])
    drawn = plots.draw(Panel("figures", "title", "", [row]), "name", "title")
    assert len(drawn) < 20_000


def test_the_same_result_gives_the_same_page() -> None:
    assert page.render(suite()) == page.render(suite())


def test_facts_that_no_result_contradicts_stand_once_at_the_top() -> None:
    other = replace(result(), machine=replace(MACHINE, load_cpu=None, versions={}))
    shared = dict(shared_facts([result(), other]))
    assert shared["nginx"] == "2"
    assert shared["CPU"] == "chip, 2 cores"
    assert "Load on" not in shared


def test_the_time_of_a_suite_is_from_its_first_to_its_last_workload() -> None:
    later = replace(MACHINE, taken_at="2026-11-24T11:30:09+00:00")
    assert period([result()]) == "2026-11-24 10:00 UTC"
    assert (
        period([result(), replace(result(), machine=later)])
        == "2026-11-24 10:00 to 11:30 UTC"
    )
