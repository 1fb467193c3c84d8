"""`python -m serving`: the HTTP server, until SIGTERM or SIGINT; what it has taken in is flushed before it ends."""

from __future__ import annotations

import argparse
import sys

from granian import Granian
from granian.constants import Interfaces, Loops

from infra.exits import run_command
from infra.settings import load_settings


def main() -> int:
    """Serve until told to stop. All that can be chosen is a setting (FIRTH_SERVING__* and others)."""
    argparse.ArgumentParser(prog="python -m serving", description=__doc__).parse_args()
    serving = load_settings().serving
    Granian(
        "serving.app:create_app",
        factory=True,
        address=serving.host,
        port=serving.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=serving.workers,
        websockets=False,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=15,
    ).serve()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
