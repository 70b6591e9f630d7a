"""Draws what happened over time: a stair for each line, limits, and what was done."""

from collections.abc import Sequence
from io import BytesIO
from statistics import fmean
from typing import TYPE_CHECKING

from perf.page import svg
from perf.page.plots import SMALL_FONT, tick
from perf.results import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 660.0, 230.0
LEFT, RIGHT, BOTTOM, TOP = 46.0, 8.0, 24.0, 22.0
LEGEND = 24.0  # above all, where there are several lines
STEPS_MAX = 600
"""Of one line: more would be finer than what a screen shows; they are averaged."""
LINES_MAX = 16
COLOURS = (svg.SUBJECT, svg.WORSE, svg.BETTER, svg.INK, svg.PEER)
DASHES = ("solid", "dashed", "dotted", "dashdot")
"""A second, third, fourth use of the same colours."""


def draw(timeline: Timeline, name: str, title: str) -> str:
    """An ``svg`` element; ``name`` is unique in the page, ``title`` is its name for
    those who cannot see it."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        height = HEIGHT + (LEGEND if len(timeline.lines) > 1 else 0.0)
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        inner = (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - BOTTOM - TOP) / height
        axes = figure.add_axes((LEFT / WIDTH, BOTTOM / height, *inner))
        _lines(axes, timeline)
        _marks(axes, timeline)
        _frame(axes, timeline)
        page = BytesIO()
        figure.savefig(page, format="svg", transparent=True, metadata={"Date": None})
    return svg.embed(page.getvalue(), name, title, description(timeline))


def description(timeline: Timeline) -> str:
    """The same in words."""
    unit = timeline.unit
    parts = [
        f"{name}: mean {tick(fmean(values))}, {tick(min(values))} to "
        f"{tick(max(values))} {unit}"
        for name, values in timeline.lines.items()
        if values
    ]
    parts += [f"{name}: {tick(at)} {unit}" for name, at in timeline.limits.items()]
    parts += [f"{name} at {at:.2f} s" for name, at in timeline.events.items()]
    return ". ".join(parts)


def averaged(values: Sequence[float]) -> tuple[Sequence[float], int]:
    """At most ``STEPS_MAX`` values, and of how many each is the mean."""
    width = -(-len(values) // STEPS_MAX)
    if width <= 1:
        return values, 1
    return [
        fmean(values[at : at + width]) for at in range(0, len(values), width)
    ], width


def _lines(axes: "Axes", timeline: Timeline) -> None:
    shown = [(n, v) for n, v in timeline.lines.items() if v][:LINES_MAX]
    for index, (name, values) in enumerate(shown):
        found, width = averaged(values)
        step = width * timeline.slot_seconds
        axes.stairs(
            found,
            [at * step for at in range(len(found) + 1)],
            baseline=None,
            color=COLOURS[index % len(COLOURS)],
            linestyle=DASHES[index // len(COLOURS)],
            linewidth=1.1,
            label=_plain(name),
        )


def _marks(axes: "Axes", timeline: Timeline) -> None:
    for name, at in timeline.limits.items():
        axes.axhline(
            at, color=svg.MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1.5
        )
        axes.text(
            1.0,
            at,
            name,
            transform=axes.get_yaxis_transform(),
            horizontalalignment="right",
            verticalalignment="bottom",
            color=svg.MUTED,
            fontsize=SMALL_FONT,
            parse_math=False,
        )
    for name, at in timeline.events.items():
        axes.axvline(at, color=svg.INK, linewidth=0.9, zorder=1.6)
        axes.text(
            at,
            1.02,
            name,
            transform=axes.get_xaxis_transform(),
            horizontalalignment="center",
            color=svg.INK,
            fontsize=SMALL_FONT,
            parse_math=False,
        )


def _frame(axes: "Axes", timeline: Timeline) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(svg.LINE)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=svg.LINE, linewidth=0.7)
    axes.tick_params(length=0, labelsize=SMALL_FONT, labelcolor=svg.MUTED)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{tick(value)} s"))
    if len(timeline.lines) > 1:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.1),
            ncols=6,
            frameon=False,
            borderpad=0,
            labelcolor=svg.INK,
            fontsize=SMALL_FONT,
        )


def _plain(name: str) -> str:
    """A legend knows no ``parse_math``, and hides what begins with an underscore."""
    return name.replace("$", r"\$").removeprefix("_") or "line"
