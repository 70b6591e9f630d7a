"""The named workloads; each module says what it measures and how."""
