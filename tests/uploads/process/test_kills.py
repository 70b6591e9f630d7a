"""kill -9 of a real server under load, again and again: what was acknowledged is there,
nothing is claimed that was not sent, and every upload goes on and is what it was.

``PENSTOCK_KILLS=200`` asks for more of them, ``PENSTOCK_SEED`` for others.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.uploads.process.load import Tally, Uploader, loaded
from tests.uploads.process.uploading import uploading

KILLS = int(os.environ.get("PENSTOCK_KILLS", "20"))
SEED = int(os.environ.get("PENSTOCK_SEED", "1"))
LOAD_SECONDS = 0.4  # at most, before a kill
UPLOADERS = 6
WRITE_PATHS = ("auto", "direct", "splice", "copy")


@pytest.mark.slow
@pytest.mark.timeout(60 + 5 * KILLS)
def test_what_was_acknowledged_survives_kill_9_under_load(tmp_path: Path) -> None:
    random_ = random.Random(SEED)
    uploaders = [
        Uploader(n, n % 3 == 0, random.Random(SEED + n), large=n == 0)
        for n in range(UPLOADERS)
    ]
    for _ in range(KILLS):
        settings = f'write_path = "{random_.choice(WRITE_PATHS)}"'
        cpus = random_.choice(["0", "0,1"])
        with uploading(tmp_path, "--cpus", cpus, settings=settings) as server:
            for one in uploaders:
                one.judge(server, tmp_path / "uploads")
            loaded(server, uploaders, random_.uniform(0, LOAD_SECONDS))
    tally = finished(tmp_path, uploaders)
    print(f"{KILLS} kills, seed {SEED}: {tally}")
    assert tally.cut > KILLS, "kills hit nothing"
    assert tally.acknowledged > KILLS


def finished(home: Path, uploaders: list[Uploader]) -> Tally:
    """All go on to their end; what is left are uploads whose client was told no id."""
    tally = Tally(kills=KILLS)
    with uploading(home) as server:
        for one in uploaders:
            one.judge(server, home / "uploads")
            if one.upload is not None:
                with server.client() as client:
                    one.upload.finish(client)
            tally.add(one.tally)
        left = list((home / "uploads").glob("*.part"))
        assert len(left) <= tally.unanswered_begins
        server.check_balance()
    return tally
