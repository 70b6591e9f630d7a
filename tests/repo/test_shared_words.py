"""Words that engines change while others read them are read as such."""

import re
from pathlib import Path

# The number of rows. Whoever holds the mutex of the table may read it plainly.
_READS = re.compile(
    r"(?P<atomic>atomic_load_u32\(&)?\b(?:\w+\.)?(?:table|clients)\.used"
)
_UNDER_THE_MUTEX = re.compile(
    r"pthread_mutex_lock\(&self\.table\.mutex\)\n\s+\w+ = self\.table\.used\n"
)


def plain_reads(text: str) -> list[str]:
    text = _UNDER_THE_MUTEX.sub("", text)
    return [found[0] for found in _READS.finditer(text) if not found["atomic"]]


def test_the_number_of_rows_is_read_atomically_or_under_the_mutex(root: Path) -> None:
    units = [*(root / "pyx").glob("*.pxd"), *(root / "pyx").glob("facade_*.pxi")]
    texts = {unit.name: unit.read_text() for unit in units}
    found = {name: plain_reads(text) for name, text in texts.items()}
    assert {name: reads for name, reads in found.items() if reads} == {}
    assert any(_READS.search(text) for text in texts.values())


def test_a_plain_read_is_seen() -> None:
    assert plain_reads("for row in range(e.clients.used):") == ["e.clients.used"]
    assert plain_reads("end = self.table.used\n") == ["self.table.used"]
    assert plain_reads("n = atomic_load_u32(&self.table.used)") == []
