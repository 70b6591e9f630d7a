# distutils: language = c
"""The compiled engine's Python face; typed and documented in ``_engine.pyi``.

The rest of the engine is header-only units (``*.pxd``) in one translation unit. No
Python object is touched in the loop: this file hands over numbers and descriptors and
reads counters.
"""

cimport cython

include "facade_names.pxi"
include "facade_rows.pxi"
include "facade_identity.pxi"
include "facade_rowtable.pxi"
include "facade_feedback.pxi"
include "facade_ranking.pxi"
include "facade_clients.pxi"
include "facade_limiter.pxi"
include "facade_limits.pxi"
include "facade_engine.pxi"
include "facade_intake.pxi"
include "facade_probe.pxi"
