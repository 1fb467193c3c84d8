"""The slates of experiments and what followed, against the obviously right way, with everything that must not count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest

from batch.experiments.outcomes import NothingArchived, Outcome, Period, read_outcomes
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import open_table
from domain.experiments.assigned import AssignedArm
from domain.impressions import CLICKS, CONVERSIONS, ImpressionRecord
from domain.policies import AdmissionPolicy, BucketPolicy, Policies
from domain.reference import LogRecord, admitted
from infra.settings import Settings
from schemas.events import KINDS
from schemas.events import AssignedArm as LoggedArm
from tests.builders import START_MS, impression, interaction, stamp

PERIOD_MS = 3_600_000
POLICIES = Policies(
    bucket=BucketPolicy(period_ms=PERIOD_MS, kept=8, dedup=1), admission=AdmissionPolicy(admitted_max=12)
)
VISITORS = tuple(f"v{number}" for number in range(8))
ITEMS = tuple(f"i{number}" for number in range(10))
ALL = Period(0, START_MS + 100 * PERIOD_MS)
ARM = LoggedArm(experiment="weights", arm="control", propensity=0.5)


def slate(
    slate_id: str, *, at_ms: int = START_MS, offset: int = 0, assigned: bool = True, visitor: str = "ada"
) -> ImpressionRecord:
    event = msgspec.structs.replace(
        impression(slate_id, visitor=visitor, items=("book", "lamp")),
        assigned=(ARM,) if assigned else (),
        propensities=(1.0, 0.25),
    )
    return ImpressionRecord(event, stamp(at_ms, offset=offset))


def settings_with(tmp_path: Path, shown: list[ImpressionRecord], log: list[LogRecord]) -> Settings:
    settings = Settings(state_dir=tmp_path, policies=POLICIES)
    open_table(settings, IMPRESSIONS).append([IMPRESSIONS.to_rows(shown, POLICIES.bucket)], {})
    open_table(settings, INTERACTIONS).append([INTERACTIONS.to_rows(log, POLICIES.bucket)], {})
    return settings


def test_a_slate_counts_what_its_visitor_made_of_its_items(tmp_path: Path) -> None:
    log = [
        LogRecord(interaction("e1", item="lamp", slate_id="s1"), stamp(offset=1)),
        LogRecord(interaction("e2", item="lamp", kind="purchase", slate_id="s1"), stamp(offset=2)),
        LogRecord(interaction("e3", item="lamp", visitor="eve", slate_id="s1"), stamp(offset=3)),
        LogRecord(interaction("e4", item="vase", slate_id="s1"), stamp(offset=4)),
        LogRecord(interaction("e5", item="book"), stamp(offset=5)),
    ]
    (found,) = read_outcomes(settings_with(tmp_path, [slate("s1")], log), ALL)
    assert found == Outcome("ada", START_MS, (AssignedArm("weights", "control", 0.5),), 2, 1, 1, ((0.25, True),))


def test_only_slates_of_experiments_and_of_the_period_are_read(tmp_path: Path) -> None:
    shown = [slate("s1", offset=1), slate("s2", offset=2, assigned=False), slate("s3", offset=3, at_ms=START_MS + 10)]
    settings = settings_with(tmp_path, shown, [])
    assert [one.received_at_ms for one in read_outcomes(settings, ALL)] == [START_MS, START_MS + 10]
    assert len(read_outcomes(settings, Period(START_MS + 1, START_MS + 11))) == 1
    assert read_outcomes(settings, Period(START_MS + 11, START_MS + 12)) == []


def test_without_a_lake_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingArchived, match="batch archive --once"):
        read_outcomes(Settings(state_dir=tmp_path), ALL)


def generated(random: Random) -> tuple[list[ImpressionRecord], list[LogRecord]]:
    """Repeated and forged slates; events sent twice, floods, strangers, and items that were not shown."""
    shown: list[ImpressionRecord] = []
    for offset in range(60):
        again = random.choice(shown).event if shown and random.random() < 0.2 else None
        event = msgspec.structs.replace(
            impression(
                again.slate_id if again else f"s{offset}",
                visitor=random.choice(VISITORS),
                items=tuple(random.choices(ITEMS, k=random.randrange(5))),
            ),
            assigned=(ARM,) if random.random() < 0.8 else (),
        )
        shown.append(ImpressionRecord(event, stamp(START_MS + random.randrange(3 * PERIOD_MS), offset=offset)))
    log = []
    for offset in range(400):
        named = random.choice(shown).event
        visitor = "v0" if random.random() < 0.2 else named.visitor_id
        event_id = f"e{random.randrange(20)}" if random.random() < 0.2 else f"unique{offset}"
        item = random.choice(named.items or ITEMS) if random.random() < 0.8 else random.choice(ITEMS)
        slate_id = random.choice((named.slate_id, named.slate_id, None))
        followed = interaction(event_id, visitor=visitor, item=item, kind=random.choice(KINDS), slate_id=slate_id)
        log.append(
            LogRecord(followed, stamp(START_MS + random.randrange(3 * PERIOD_MS), partition=offset % 2, offset=offset))
        )
    return shown, log


def obviously(shown: list[ImpressionRecord], log: list[LogRecord]) -> list[tuple[str, int, int, int, int]]:
    first: dict[str, ImpressionRecord] = {}
    for one in sorted(shown, key=lambda one: (one.stamp.received_at_ms, one.stamp.partition, one.stamp.offset)):
        first.setdefault(one.event.slate_id, one)
    counted = admitted(log, POLICIES)
    found = []
    for one in first.values():
        slate = one.event
        acts = {
            item: {
                record.event.kind
                for record in counted
                if (record.event.slate_id, record.event.visitor_id, record.event.item_id)
                == (slate.slate_id, slate.visitor_id, item)
            }
            for item in set(slate.items)
        }
        clicked = sum(not kinds.isdisjoint(CLICKS) for kinds in acts.values())
        converted = sum(not kinds.isdisjoint(CONVERSIONS) for kinds in acts.values())
        if slate.assigned:
            found.append((slate.visitor_id, one.stamp.received_at_ms, len(acts), clicked, converted))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_slate_equals_the_obvious_count(tmp_path: Path, seed: int) -> None:
    shown, log = generated(Random(seed))
    found = read_outcomes(settings_with(tmp_path, shown, log), ALL)
    plain = [(one.visitor_id, one.received_at_ms, one.shown, one.clicked, one.converted) for one in found]
    assert sorted(plain) == sorted(obviously(shown, log))
    assert sum(one.clicked for one in found) > 5
    assert replace(found[0]).arms == (AssignedArm("weights", "control", 0.5),)
