"""`python -m speed replay`: a part of the log through the real job and writer once more, into an empty store."""

from __future__ import annotations

import argparse
import dataclasses
from contextlib import closing
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from infra.settings import KafkaSettings, Settings
from schemas.errors import ConfigurationError, DependencyError
from schemas.topics import INTERACTIONS
from speed.commands.comparison import compare
from speed.commands.dead_letters import instant_ms
from speed.commands.log import Bounds, missing_from, reading
from speed.commands.replaying import Replayed, replay_into
from speed.commands.target import Target, parse_target
from speed.commands.telling import clock, now_ms, say, tell, warn
from speed.job.settings import LogRange

SHOWN_MAX = 20


class NothingToReplay(ConfigurationError):
    """The log has no record in the range."""

    def __init__(self, from_ms: int, to_ms: int) -> None:
        super().__init__(
            "--from, --to", f"no interaction was received from {clock(from_ms)} to {clock(to_ms)}", "name another range"
        )


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its part of the command line."""
    parser = commands.add_parser(
        "replay",
        help="re-process a part of the log into an empty store",
        description=(
            "Send the interactions received in [from, to) through a Flink job and a feature writer of their own, into "
            "an empty Redis. The live job, topics and store are only read. With --compare every row of the live store "
            "is compared byte for byte; the exit code is 1 when one differs. Only a range that begins where the live "
            "rows began can be equal to them."
        ),
    )
    parser.add_argument("--from", dest="from_ms", type=instant_ms, default=0, metavar="ISO|MS", help="(the beginning)")
    parser.add_argument("--to", dest="to_ms", type=instant_ms, metavar="ISO|MS", help="(now)")
    parser.add_argument("--redis", type=parse_target, required=True, metavar="HOST:PORT[/DB]", help="an empty one")
    parser.add_argument("--compare", action="store_true", help="compare with the live store")


def replay(settings: Settings, options: argparse.Namespace) -> int:
    """0 when all was written and, if asked for, nothing differs."""
    started_at_ms, target = now_ms(), options.redis
    refuse_a_filled(target)
    to_ms = started_at_ms if options.to_ms is None else options.to_ms
    part = part_between(settings.kafka, options.from_ms, to_ms)
    done = replay_into(target, part, settings, say)
    found: dict[str, Any] = {
        "from_ms": options.from_ms,
        "to_ms": to_ms,
        "records": _records(part),
        **_summary(done, target),
        "took_s": round((now_ms() - started_at_ms) / 1_000, 1),
    }
    differing = 0
    if options.compare:
        comparison = compare(settings, target, part, to_ms)
        differing = len(comparison.differing)
        for difference in comparison.differing[:SHOWN_MAX]:
            say(f"different: {difference}")
        found["compared"] = {
            **dataclasses.asdict(comparison),
            "differing": differing,
            "worst": comparison.differing[:SHOWN_MAX],
        }
    tell(found)
    return 1 if differing else 0


def refuse_a_filled(target: Target) -> None:
    """Raises ConfigurationError unless the store is there and empty: what is in it would be mixed with the replay."""
    with closing(Redis(host=target.host, port=target.port, db=target.database)) as client:
        try:
            keys = client.dbsize()
        except RedisError as error:
            raise DependencyError(f"redis {target}", str(error), "start one there") from error
    if keys:
        problem = f"redis {target} holds {keys} keys"
        raise ConfigurationError("--redis", problem, "name an empty one, or another database of it: HOST:PORT/DB")


def part_between(kafka: KafkaSettings, from_ms: int, to_ms: int) -> LogRange:
    """The offsets of the range; warns when the log no longer has its beginning."""
    with reading(kafka, INTERACTIONS.named(kafka.topic_prefix).name) as log:
        bounds, oldest_at_ms = log.bounds(), log.oldest_at_ms()
        part = range_of(bounds, log.first_at(from_ms), log.first_at(to_ms))
    if lacking := missing_from(from_ms, bounds, oldest_at_ms):
        warn(f"retention has let go the beginning of the range in the partitions {lacking}")
    if not _records(part):
        raise NothingToReplay(from_ms, to_ms)
    return part


def range_of(bounds: dict[int, Bounds], first: dict[int, int | None], until: dict[int, int | None]) -> LogRange:
    """From the first offset at or after an instant to the first at or after another; None is the end of a partition."""

    def offset_in(partition: int, offset: int | None) -> int:
        return bounds[partition].until if offset is None else offset

    starts = {partition: offset_in(partition, first[partition]) for partition in bounds}
    return LogRange(
        starts, {partition: max(offset_in(partition, until[partition]), starts[partition]) for partition in bounds}
    )


def _records(part: LogRange) -> int:
    return sum(part.until[partition] - first for partition, first in part.first.items())


def _summary(done: Replayed, target: Target) -> dict[str, Any]:
    return {
        "rows_written": dict(sorted(done.rows_written.items())),
        "dead_letters": done.dead_letters,
        "redis": str(target),
    }
