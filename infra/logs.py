"""JSON lines on standard error, from the standard library's logging.

The message is the event, named `noun.past_participle`; its facts are given as `extra`, with units in their names:
`log.info("rows.written", extra={"rows": 12, "took_ms": 3})`. A sentence from a library goes to `message` instead.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any, Final, TextIO

EVENT_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
RECORD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
QUIET_LIBRARIES: Final = ("kafka", "cassandra", "feast", "urllib3", "py4j")


class JsonLines(logging.Formatter):
    """One JSON object a record."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        is_event = EVENT_NAME.fullmatch(text) is not None
        line: dict[str, Any] = {
            "at_ms": int(record.created * 1000),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": text if is_event else "library.spoke",
            "logger": record.name,
        }
        if not is_event:
            line["message"] = text
        line |= {name: value for name, value in vars(record).items() if name not in RECORD_FIELDS}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(service: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every log of this process to `stream` (standard error) as JSON lines; chatty libraries only from WARNING."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(max(level, logging.WARNING))
