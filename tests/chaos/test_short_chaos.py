"""The short form: every target is killed once, a daily run when half of it is published; nothing is lost or wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 900
SEED = "7"


def test_a_short_storm_loses_nothing_and_leaves_every_feature_equal_to_the_log(tmp_path: Path) -> None:
    log_path = tmp_path / "chaos.log"
    with log_path.open("w") as log:
        command = [sys.executable, "-u", "-m", "tests.chaos", "--short", "--seed", SEED, "--folder", str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=log, stderr=subprocess.STDOUT) as storm:
            try:
                code = storm.wait(LIMIT_S)
            finally:
                storm.terminate()  # on which it stops its platform
    said = log_path.read_text()
    print(said)
    assert code == 0, said[-6_000:]
    found = json.loads(said.splitlines()[-1])
    assert found["is_well"]
    assert found["parity"]["mismatches"] == found["parity"]["unsettled"] == 0
    assert found["dailies_killed"] == ["half-published"]
    assert found["lake_rows"] == found["lake_rows_distinct"] > 5_000
