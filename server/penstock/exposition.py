"""Single lines of Prometheus' text and OpenMetrics, as prometheus-client writes them.

For the metrics of clients, whose many series the engine writes itself.
"""

from typing import Literal

from prometheus_client.utils import floatToGoString

Kind = Literal["counter", "gauge"]


def head(name: str, kind: Kind, documentation: str, *, open_metrics: bool) -> str:
    """What precedes the series of a metric; ``name`` has no ``_total``, and
    ``documentation`` nothing to escape. OpenMetrics gives a counter that name, the
    older text the one of its series."""
    shown = name if open_metrics else series_name(name, kind)
    return f"# HELP {shown} {documentation}\n# TYPE {shown} {kind}\n"


def series_name(name: str, kind: Kind) -> str:
    return f"{name}_total" if kind == "counter" else name


def series(name: str, value: float, **labels: str) -> str:
    """``labels`` in the order of their names."""
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    number = floatToGoString(value)  # type: ignore[no-untyped-call]
    return f"{name}{f'{{{shown}}}' if shown else ''} {number}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
