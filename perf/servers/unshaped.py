"""A server without its limit, to know what the limit costs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from perf.servers.base import Kind, Launch, Setup

Reading = Literal["paced", "full"]
SUFFIXES: dict[Reading, str] = {"paced": "unshaped", "full": "full-speed"}


@dataclass(frozen=True)
class Unshaped:
    """As many connections for the same bytes each; nobody limits but the reader."""

    server: Kind
    reading: Reading
    """paced: the readers take the bytes at the rate; full: as fast as they come."""

    @property
    def name(self) -> str:
        return f"{self.server.name}-{SUFFIXES[self.reading]}"

    def version(self) -> str | None:
        return self.server.version()

    def unfit(self, setup: Setup) -> str | None:
        return self.server.unfit(replace(setup, download_bps=None))

    def launch(self, setup: Setup, port: int, folder: Path) -> Launch:
        return self.server.launch(replace(setup, download_bps=None), port, folder)
