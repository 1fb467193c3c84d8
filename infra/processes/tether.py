"""A launcher that ties a process to its parent: `python tether.py PARENT_PID PROGRAM ARGUMENT…`.

It asks the kernel to send SIGTERM when the parent dies, however it dies, and then becomes the program (same pid).
This survives `exec` and needs no code between fork and exec in a parent that may have threads. Linux only; elsewhere
the next `up` or `down` ends what a killed supervisor left behind. Imports nothing of ours: it runs isolated.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie, then become the program."""
    parent, *argv = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the parent died before the tie was made")
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
