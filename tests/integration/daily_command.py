"""A daily run in a process that a test can kill: `python -m tests.integration.daily_command SETTINGS CUTOFF`."""

import sys
from pathlib import Path

from batch.daily import run_daily
from infra.settings import Settings


def main() -> None:
    settings = Settings.model_validate_json(Path(sys.argv[1]).read_text())
    run_daily(settings, int(sys.argv[2]), tell=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
