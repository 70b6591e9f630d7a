"""Draws a panel: a row for each server, its name above its bar, so that a phone's width
is enough for any name.

Points are rounds, the large mark is their median, the line goes from the lowest to the
highest. matplotlib does the scales and the drawing.
"""

import math
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from perf.page import svg
from perf.page.panels import Kind, Mark, Panel, Role, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW_HEIGHT, AXIS_HEIGHT, MARGIN = 320.0, 40.0, 22.0, 6.0
LABEL_AT, STRIP_AT, BAR_HEIGHT = 11.0, 26.0, 12.0
FONT, SMALL_FONT = 12.0, 11.0
LINE_CHARACTERS_MAX = 46  # of label and figures, beside each other
POINTS_MAX = 120
"""Of one mark: more would be a smear of many kilobytes; the range stays exact."""
LOG_FROM = 4.0
"""Ratios that differ by more than this are told apart on a logarithmic axis only."""
COLOURS: dict[Role, str] = {
    "subject": svg.SUBJECT,
    "peer": svg.PEER,
    "better": svg.BETTER,
    "worse": svg.WORSE,
    "same": svg.PEER,
}
ALWAYS_SHOWN: dict[Kind, Sequence[float]] = {
    "figures": [0.0],
    "ratios": [1.0],
    "changes": [-5.0, 5.0],  # percent: or a change of nothing would look like one
    "quantiles": [],
}
MARKERS = "oD^sv"
MARKER_SIGNS = "●◆▲■▼"


def draw(panel: Panel, name: str, title: str) -> str:
    """An ``svg`` element; ``name`` is unique in the page, ``title`` is its name for
    those who cannot see it."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Text stays text; and the same panel is always the same drawing.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        height = MARGIN + ROW_HEIGHT * len(panel.rows) + AXIS_HEIGHT
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        _fill(figure, panel)
        page = BytesIO()
        figure.savefig(page, format="svg", transparent=True, metadata={"Date": None})
    return svg.embed(page.getvalue(), name, title, panel.description())


def legend(panel: Panel) -> str:
    """Which sign is which quantile; empty where there is one mark per row."""
    if panel.kind != "quantiles":
        return ""
    names = max((row.marks for row in panel.rows), key=len)
    return "  ".join(
        f"{sign} {mark.name}" for sign, mark in zip(MARKER_SIGNS, names, strict=False)
    )


def _fill(figure: "Figure", panel: Panel) -> None:
    high = ROW_HEIGHT * len(panel.rows)
    whole = MARGIN + high + AXIS_HEIGHT
    axes = figure.add_axes(
        (
            MARGIN / WIDTH,
            AXIS_HEIGHT / whole,
            1 - 2 * MARGIN / WIDTH,
            high / whole,
        )
    )
    axes.set_ylim(high, 0)
    _scale(axes, panel)
    _frame(axes)
    for index, row in enumerate(panel.rows):
        _draw_row(axes, panel, row, index * ROW_HEIGHT)


def _frame(axes: "Axes") -> None:
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(svg.LINE)
    axes.yaxis.set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=svg.LINE, linewidth=0.7)
    axes.tick_params(
        axis="x", length=0, pad=5, labelsize=SMALL_FONT, labelcolor=svg.MUTED
    )


def _scale(axes: "Axes", panel: Panel) -> None:
    """Figures begin at zero; quantiles are logarithmic; ratios and changes hold the
    line of no difference."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = extent(panel)
    if is_logarithmic(panel):
        axes.set_xscale("log")
        axes.set_xlim(one_two_five(low, up=False), one_two_five(high, up=True))
        axes.xaxis.set_major_locator(LogLocator(subs=log_steps(low, high)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        pad = 0.04 * (high - low)
        axes.set_xlim(low - (pad if low or panel.kind != "figures" else 0), high + pad)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    if panel.kind in ("ratios", "changes"):
        equal = 1.0 if panel.kind == "ratios" else 0.0
        axes.axvline(equal, color=svg.INK, linewidth=1.2, zorder=1.5)


def extent(panel: Panel) -> tuple[float, float]:
    """The lowest and highest value that must be visible, never equal."""
    spreads = [mark.spread for row in panel.rows for mark in row.marks]
    values = [v for s in spreads for v in (s.minimum, s.maximum)]
    values += ALWAYS_SHOWN[panel.kind]
    low, high = min(values), max(values)
    if low == high:
        return (
            (low, high + 1.0)
            if low == 0
            else (low - abs(low) / 2, high + abs(high) / 2)
        )
    return low, high


def is_logarithmic(panel: Panel) -> bool:
    low, high = extent(panel)
    if low <= 0:
        return False
    return panel.kind == "quantiles" or (
        panel.kind == "ratios" and high / low > LOG_FROM
    )


def one_two_five(value: float, *, up: bool) -> float:
    """The next of 1, 2, 5, 10, … beyond a positive value."""
    power: float = 10.0 ** math.floor(math.log10(value))
    steps = [step * power for step in (1.0, 2.0, 5.0, 10.0)]
    if up:
        return next((step for step in steps if step >= value), steps[-1])
    return max((step for step in steps if step <= value), default=steps[0])


def log_steps(low: float, high: float) -> tuple[float, ...]:
    """Fewer ticks, the more decades there are."""
    decades = math.log10(high / low)
    return (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)


def tick(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.4g} M"
    return f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")


def _draw_row(axes: "Axes", panel: Panel, row: Row, top: float) -> None:
    colour = COLOURS[row.role]
    label = clipped(row.label, LINE_CHARACTERS_MAX - len(row.text))
    for where, text, side in ((0, label, "left"), (1, row.text, "right")):
        axes.text(
            where,
            top + LABEL_AT,
            text,
            transform=axes.get_yaxis_transform(),
            horizontalalignment=side,
            color=svg.INK if side == "left" else svg.MUTED,
            fontsize=FONT if side == "left" else SMALL_FONT,
            fontweight="bold" if row.role == "subject" else "normal",
            parse_math=False,  # a name may have a $
        )
    at = top + STRIP_AT
    if panel.kind == "figures":
        length = row.marks[0].spread.median
        axes.barh(at, length, BAR_HEIGHT, color=colour, alpha=0.28, linewidth=0)
    if panel.kind == "quantiles":
        medians = [mark.spread.median for mark in row.marks]
        axes.plot(medians, [at] * len(medians), color=colour, alpha=0.35, linewidth=3)
    for index, mark in enumerate(row.marks):
        shift = (-3.5, 3.5)[index] if panel.kind == "changes" else 0.0
        hollow = panel.kind == "changes" and index == 0
        shape = MARKERS[index % len(MARKERS)] if panel.kind == "quantiles" else "o"
        _draw_mark(axes, mark, at + shift, colour, shape, hollow=hollow)


def _draw_mark(
    axes: "Axes", mark: Mark, at: float, colour: str, shape: str, *, hollow: bool
) -> None:
    spread = mark.spread
    axes.plot([spread.minimum, spread.maximum], [at, at], color=colour, linewidth=1.6)
    for end in (spread.minimum, spread.maximum):
        axes.plot([end, end], [at - 3, at + 3], color=colour, linewidth=1.6)
    points = thinned(mark.points)
    if len(points) > 1:
        axes.plot(
            points,
            [at] * len(points),
            marker="o",
            linestyle="none",
            markersize=3.2,
            markerfacecolor=colour,
            markeredgewidth=0,
            alpha=0.45,
            clip_on=False,
        )
    axes.plot(
        [spread.median],
        [at],
        marker=shape,
        markersize=8,
        markerfacecolor=svg.PAPER if hollow else colour,
        markeredgecolor=colour if hollow else svg.PAPER,
        markeredgewidth=1.4,
        clip_on=False,
        zorder=5,
    )


def thinned(points: Sequence[float]) -> Sequence[float]:
    """At most ``POINTS_MAX``, evenly taken."""
    return points[:: math.ceil(len(points) / POINTS_MAX)] if points else points


def clipped(label: str, characters: int) -> str:
    return label if len(label) <= characters else f"{label[: characters - 1]}…"
