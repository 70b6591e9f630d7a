"""The page for people: one HTML file with plots that needs nothing else to be read."""

from perf.page.assemble import render, require_libraries

__all__ = ["render", "require_libraries"]
