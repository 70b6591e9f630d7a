"""The performance harness: penstock beside its peers, in one run, on one machine.

Run it as ``python -m perf``; ``docs/performance.md`` says how it measures.
"""
