"""The spool: events that Kafka does not take wait on this machine's disk, and follow when it does.

Bounded: when it is full, events are `unconfirmed` as they are without a spool. Each server process writes files of its
own, which it holds locked; a file whose process has ended is replayed by any other. An event may be published twice
(its process ends between Kafka's word and the file's removal): its `event_id` makes that safe.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from time import time_ns
from typing import BinaryIO, Final, Protocol

import msgspec

from infra import metrics
from schemas.errors import DependencyError
from serving.adapters.publisher import Confirmed, Outcome, Record

REPLAY_EVERY_S: Final = 1.0
REPLAY_RECORDS: Final = 500
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
_HEADER: Final = Struct("<II")  # length and checksum of what follows
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Record)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spooled:
    """The event is on this server's disk, and will be published."""


class Publishing(Protocol):
    """The way into Kafka."""

    async def publish(self, records: Sequence[Record]) -> list[Outcome]:
        """One outcome a record. Raises DependencyError when it takes none of them."""
        ...


class Spool:
    """A folder of files of records. Its methods block: for threads only."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._numbers = itertools.count()
        self._open: tuple[Path, BinaryIO] | None = None

    def put(self, records: Sequence[Record]) -> bool:
        """Write records, and be sure that they are on disk; False when there is no room, or none to be had."""
        framed = b"".join(_framed(record) for record in records)
        try:
            if self.bytes_held() + len(framed) > self._bytes_max:
                return False
            _, file = self._open or self._begin()
            file.write(framed)
            file.flush()
            os.fsync(file.fileno())
            if file.tell() >= FILE_BYTES_MAX:
                self.close()
        except OSError as error:
            log.warning("spool.failed", extra={"folder": str(self._folder), "problem": str(error)})
            self.close()
            return False
        return True

    def bytes_held(self) -> int:
        """The size of all files, those of other processes included."""
        return sum(_size_of(path) for path in self._folder.glob("*.spool"))

    def close(self) -> None:
        """Leave the file that is being written to whoever replays it."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def take(self) -> tuple[BinaryIO, Path] | None:
        """The oldest file that nobody else holds, locked; None without one."""
        for path in sorted(self._folder.glob("*.spool")):
            if self._open is not None and path == self._open[0]:
                self.close()  # what is written next goes to another file
            with suppress(OSError):
                file = path.open("rb")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    file.close()
                    continue
                if path.exists():  # else another process has just replayed it
                    return file, path
                file.close()
        return None

    def _begin(self) -> tuple[Path, BinaryIO]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{time_ns()}-{os.getpid()}-{next(self._numbers)}.spool"
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        self._open = path, file
        return self._open


class SpoolingPublisher:
    """Publishes as the publisher within does; interactions that Kafka does not take are spooled instead."""

    def __init__(self, publisher: Publishing, spool: Spool) -> None:
        self._publisher = publisher
        self._spool = spool
        self._writing = asyncio.Lock()

    async def publish(self, records: Sequence[Record]) -> list[Outcome | Spooled]:
        """One outcome a record. Raises DependencyError when neither Kafka nor the disk has room.

        Items of the catalogue are not spooled: an older word on an item must not follow a newer one.
        """
        try:
            outcomes: list[Outcome | Spooled] = [*await self._publisher.publish(records)]
        except DependencyError:
            if not all(record.event_id for record in records) or not await self._keep(records):
                raise
            return [Spooled() for _ in records]
        missed = [i for i, outcome in enumerate(outcomes) if records[i].event_id and not isinstance(outcome, Confirmed)]
        if missed and await self._keep([records[index] for index in missed]):
            for index in missed:
                outcomes[index] = Spooled()
        return outcomes

    async def _keep(self, records: Sequence[Record]) -> bool:
        async with self._writing:
            kept = await asyncio.to_thread(self._spool.put, records)
        if not kept:
            metrics.SERVING_UNSPOOLED.inc(len(records))
        return kept

    async def run(self) -> None:
        """Replay what is spooled when Kafka takes it, for ever."""
        while True:
            await asyncio.sleep(REPLAY_EVERY_S)
            await self.replay()

    def close(self) -> None:
        """Leave what is spooled to the next process."""
        self._spool.close()

    async def replay(self) -> int:
        """Publish what is spooled, file by file, until there is none or Kafka does not take it; returns how many."""
        replayed = 0
        while True:
            async with self._writing:
                metrics.SERVING_SPOOLED_BYTES.set(await asyncio.to_thread(self._spool.bytes_held))
                taken = await asyncio.to_thread(self._spool.take)
            if taken is None:
                return replayed
            file, path = taken
            with file:
                count = await self._publish_all(list(_records_of(file)))
                if count is None:
                    return replayed
                path.unlink()
                replayed += count
                log.info("spool.replayed", extra={"records": count})

    async def _publish_all(self, records: list[Record]) -> int | None:
        """How many were published; None when Kafka has not taken all of them."""
        for start in range(0, len(records), REPLAY_RECORDS):
            try:
                outcomes = await self._publisher.publish(records[start : start + REPLAY_RECORDS])
            except DependencyError:
                return None
            if not all(isinstance(outcome, Confirmed) for outcome in outcomes):
                return None
        return len(records)


def _framed(record: Record) -> bytes:
    body = _ENCODER.encode(record)
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def _records_of(file: BinaryIO) -> Iterator[Record]:
    """The records of a file up to where a process that was killed has stopped writing: nobody was told of the rest."""
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, checksum = _HEADER.unpack(header)
        body = file.read(length)
        if len(body) < length or zlib.crc32(body) != checksum:
            log.warning("spool.torn", extra={"at": file.tell()})
            return
        yield _DECODER.decode(body)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
