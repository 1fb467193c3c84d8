"""The spool: what Kafka does not take is on disk, bounded, whole, and published later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from schemas.errors import DependencyError
from serving.adapters.publisher import Confirmed, Outcome, Record, Unconfirmed
from serving.adapters.spool import Publishing, Spool, Spooled, SpoolingPublisher
from tests.unit.serving.fakes import AWAY, FakePublisher

ROOM = 100_000


def events(*numbers: int) -> list[Record]:
    return [Record("interactions", f"v{number}", b"{}", f"e{number}") for number in numbers]


Spooling = Callable[..., SpoolingPublisher]


@pytest.fixture
def spooling() -> Iterator[Spooling]:
    """Makes publishers that spool, and closes them at the end."""
    made: list[SpoolingPublisher] = []

    def make(folder: Path, publisher: Publishing, bytes_max: int = ROOM) -> SpoolingPublisher:
        made.append(SpoolingPublisher(publisher, Spool(folder, bytes_max)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.fixture
def kafka() -> FakePublisher:
    return FakePublisher(answer=Unconfirmed("kafka is away"))


async def test_what_kafka_takes_is_not_spooled(tmp_path: Path, spooling: Spooling) -> None:
    assert await spooling(tmp_path, FakePublisher(answer=Confirmed(7))).publish(events(1)) == [Confirmed(7)]
    assert files(tmp_path) == []


async def test_what_it_does_not_take_follows_in_order_when_it_does(
    tmp_path: Path, kafka: FakePublisher, spooling: Spooling
) -> None:
    way = spooling(tmp_path, kafka)
    assert await way.publish(events(1, 2)) == [Spooled(), Spooled()]
    assert await way.replay() == 0
    assert await way.publish(events(3)) == [Spooled()]
    kafka.answer, kafka.records = Confirmed(7), []
    assert await way.replay() == 3
    assert kafka.records == events(1, 2, 3)
    assert await way.replay() == 0
    assert files(tmp_path) == []


async def test_events_wait_also_while_too_many_are_in_flight(
    tmp_path: Path, kafka: FakePublisher, spooling: Spooling
) -> None:
    kafka.full = True
    assert await spooling(tmp_path, kafka).publish(events(1)) == [Spooled()]


async def test_a_full_spool_says_so_as_if_there_were_none(
    tmp_path: Path, kafka: FakePublisher, spooling: Spooling
) -> None:
    way = spooling(tmp_path, kafka, bytes_max=50)
    assert await way.publish(events(1)) == [Spooled()]
    assert await way.publish(events(2, 3)) == [Unconfirmed("kafka is away")] * 2
    kafka.full = True
    with pytest.raises(DependencyError):
        await way.publish(events(2, 3))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 50


async def test_a_disk_that_cannot_be_written_is_a_full_one(
    tmp_path: Path, kafka: FakePublisher, spooling: Spooling
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert await spooling(blocked, kafka).publish(events(1)) == [Unconfirmed("kafka is away")]


async def test_an_older_word_on_an_item_never_follows_a_newer_one(
    tmp_path: Path, kafka: FakePublisher, spooling: Spooling
) -> None:
    item = Record("items", "i", b"{}")
    assert await spooling(tmp_path, kafka).publish([item]) == [Unconfirmed("kafka is away")]
    kafka.full = True
    with pytest.raises(DependencyError):
        await spooling(tmp_path, kafka).publish([item, *events(1)])


async def test_only_what_was_not_taken_is_spooled(tmp_path: Path, spooling: Spooling) -> None:
    class Half:
        """Takes the first of two."""

        async def publish(self, records: Sequence[Record]) -> list[Outcome]:
            outcomes: list[Outcome] = [Confirmed(7), Unconfirmed("late")]
            return outcomes[: len(records)]

    assert await spooling(tmp_path, Half()).publish(events(1, 2)) == [Confirmed(7), Spooled()]


async def test_what_another_process_has_left_is_replayed_and_what_it_still_writes_is_not(
    tmp_path: Path, kafka: FakePublisher, spooling: Spooling
) -> None:
    gone, alive = Spool(tmp_path, ROOM), Spool(tmp_path, ROOM)
    assert gone.put(events(1))
    gone.close()
    assert alive.put(events(2))
    kafka.answer = Confirmed(7)
    assert await spooling(tmp_path, kafka).replay() == 1
    assert kafka.records == events(1)
    alive.close()
    assert await spooling(tmp_path, kafka).replay() == 1


async def test_a_file_that_a_kill_has_torn_is_replayed_up_to_there(
    tmp_path: Path, kafka: FakePublisher, spooling: Spooling
) -> None:
    spool = Spool(tmp_path, ROOM)
    spool.put(events(1, 2))
    spool.close()
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    kafka.answer = Confirmed(7)
    assert await spooling(tmp_path, kafka).replay() == 1
    assert kafka.records == events(1)


async def test_nothing_is_lost_when_kafka_goes_away_again_meanwhile(tmp_path: Path) -> None:
    class Wavering(FakePublisher):
        """Is away for the first attempt."""

        async def publish(self, records: Sequence[Record]) -> list[Outcome]:
            self.full = len(self.records) == 0 and not self.full
            if self.full:
                raise AWAY
            return await super().publish(records)

    spool = Spool(tmp_path, ROOM)
    spool.put(events(1))
    way = SpoolingPublisher(Wavering(answer=Confirmed(7)), spool)
    assert await way.replay() == 0
    assert await way.replay() == 1
