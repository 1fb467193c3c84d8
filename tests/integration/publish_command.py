"""Publish visitors and die half-way: `python -m tests.integration.publish_command SETTINGS FILE PUBLICATION`."""

import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from batch.row_publisher import RowPublisher
from feature_repo.cassandra_table import Address, connect
from feature_repo.views import VISITOR_HISTORY, View
from infra.settings import Settings


class Dying(RowPublisher):
    """Kills its process when the first batch of rows is written."""

    def _encoded(self, view: View, path: Path) -> Iterator[list[tuple[str, bytes]]]:
        yield next(super()._encoded(view, path))
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    settings = Settings.model_validate_json(Path(sys.argv[1]).read_text())
    ring = settings.cassandra
    _, session = connect(Address((ring.host,), ring.port, ring.local_datacentre), request_timeout_s=60)
    Dying(settings, session).publish(VISITOR_HISTORY, Path(sys.argv[2]), datetime.now(UTC), int(sys.argv[3]))


if __name__ == "__main__":
    main()
