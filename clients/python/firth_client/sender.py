"""Sends events from a thread of its own, and keeps on disk what the server does not take."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, Self

import msgspec

from .errors import FirthError
from .shapes import Event, Verdicts

EVENTS_AT_ONCE: Final = 500


class Sending(Protocol):
    """What takes events: a `Firth`."""

    def send(self, events: Sequence[Event]) -> Verdicts:
        """One verdict an event. Raises FirthError."""
        ...


class EventSender:
    """`send` never waits and never raises. What cannot be sent is in the file `path` (JSON lines), up to `bytes_max`.

    The file is read when the sender starts, so events outlive the process. One sender a file. `dropped` counts the
    events for which there was no room, and `rejected` those that the server will never take. `disk_problem` is why the
    file could not be written, as when the disk is full: what waits is then in memory alone, and still tried again.
    """

    def __init__(
        self,
        client: Sending,
        path: str | Path,
        *,
        every_s: float = 1.0,
        waiting_max: int = 10_000,
        bytes_max: int = 16_000_000,
    ) -> None:
        self._client = client
        self._path = Path(path)
        self._every_s = every_s
        self._waiting_max = waiting_max
        self._bytes_max = bytes_max
        self._waiting: deque[Event] = deque(_read(self._path), maxlen=None)
        self._wake = threading.Event()
        self._stopped = False
        self.dropped = 0
        self.rejected = 0
        self.disk_problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="firth-events", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """Events that the server has not taken yet."""
        return len(self._waiting)

    def send(self, event: Event) -> None:
        """Have an event sent soon."""
        if len(self._waiting) >= self._waiting_max:
            self.dropped += 1
            return
        self._waiting.append(event)
        if len(self._waiting) >= EVENTS_AT_ONCE:
            self._wake.set()

    def close(self, timeout_s: float = 10.0) -> None:
        """Try once more to send what waits, and keep the rest for the next sender of this file."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(self._every_s)
            self._wake.clear()
            self._send_waiting()

    def _send_waiting(self) -> None:
        """Send until nothing waits or the server takes no more; then the file holds what is left."""
        had_file = self._path.exists()
        while self._waiting:
            batch = [self._waiting[index] for index in range(min(EVENTS_AT_ONCE, len(self._waiting)))]
            try:
                verdicts = self._client.send(batch)
            except FirthError as error:
                if error.may_pass:
                    self._keep()
                    return
                self.rejected += len(batch)
            else:
                self.rejected += verdicts.rejected
            for _ in batch:
                self._waiting.popleft()
        if had_file:
            self._path.unlink(missing_ok=True)

    def _keep(self) -> None:
        """Put what waits, the oldest first and as much as there is room for, in the place of the file."""
        lines, size = list[bytes](), 0
        for event in list(self._waiting):
            line = msgspec.json.encode(event) + b"\n"
            size += len(line)
            if size > self._bytes_max:
                break
            lines.append(line)
        partial = self._path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError as error:
            self.disk_problem = str(error)
        else:
            self.disk_problem = None


def _read(path: Path) -> list[Event]:
    """The events of the file; a line that is none is passed over."""
    events: list[Event] = []
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                events.append(msgspec.json.decode(line, type=Event))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
    return events
