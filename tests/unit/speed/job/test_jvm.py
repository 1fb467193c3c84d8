"""What the job's interpreters load: without Beam PyFlink is there in a second."""

from __future__ import annotations

import os
import subprocess
import sys

from speed.job.jvm import ABSENT


def test_pyflink_goes_on_without_beam() -> None:
    program = "import sys, pyflink.fn_execution; print('pandas' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ABSENT)}
    argv = (sys.executable, "-c", program)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
