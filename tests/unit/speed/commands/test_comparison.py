"""What a row of the live store and one of a replay are to each other."""

from __future__ import annotations

from typing import Final

import msgspec

from domain.aggregates import ColumnType
from domain.policies import BucketPolicy
from feature_repo.layout import ViewLayout
from speed.commands.comparison import Cells, Judge
from speed.job.lifetime import Lifetime
from speed.job.settings import LogRange
from tests.builders import START_MS

LAYOUT: Final = ViewLayout("v", (("clicks", ColumnType.INT), ("recent_offsets", ColumnType.INTS)))
POLICY: Final = BucketPolicy(period_ms=1_000, kept=2, dedup=1)
PART: Final = LogRange({0: 10, 1: 10}, {0: 20, 1: 20})


def row(offsets: dict[int, int], *, clicks: int = 1, at_ms: int = START_MS) -> Cells:
    encoded = LAYOUT.encode({"clicks": clicks, "recent_offsets": [offsets[name] for name in sorted(offsets)]}, at_ms)
    return [*encoded[1::2], msgspec.msgpack.encode(offsets)]


def judge(*, clock_ms: int = START_MS) -> Judge:
    lifetime = Lifetime(POLICY)
    lifetime.advance(clock_ms)
    return Judge(PART, LAYOUT, lifetime)


ABSENT: Final[Cells] = [None, None, None, None]


def test_the_fields_asked_for_are_those_of_the_row_and_its_offsets() -> None:
    assert judge().fields == (*LAYOUT.fields, b"_offsets:v")


def test_rows_are_equal_in_every_byte_whatever_the_order_of_their_offsets() -> None:
    assert judge().verdict(row({0: 12, 1: 15}), row({1: 15, 0: 12})) == "equal"
    assert judge().verdict(ABSENT, ABSENT) == "absent"


def test_one_other_byte_is_different_and_its_cell_named() -> None:
    one, other = row({0: 12}), row({0: 12}, clicks=2)
    assert judge().verdict(one, other) == "different"
    assert judge().differing_fields(one, other) == ["clicks"]
    assert judge().differing_fields(one, row({0: 13}, at_ms=START_MS + 1)) == ["event time"]
    assert judge().differing_fields(one, row({0: 13})) == ["offsets"]


def test_offsets_from_before_the_range_are_no_difference_and_others_are() -> None:
    assert judge().verdict(row({0: 12, 1: 9}), row({0: 12})) == "equal"
    assert judge().verdict(row({0: 12, 1: 9}, clicks=2), row({0: 12})) == "different"
    assert judge().verdict(row({0: 12, 1: 11}), row({0: 12})) == "different"


def test_a_live_row_that_knows_of_more_than_the_range_is_unsettled() -> None:
    assert judge().verdict(row({0: 20}, clicks=2), row({0: 19})) == "unsettled"
    assert judge().verdict(row({0: 12, 1: 30}, clicks=2), row({0: 12})) == "unsettled"


def test_a_live_row_from_before_the_range_is_outside() -> None:
    assert judge().verdict(row({0: 9}), ABSENT) == "outside"


def test_a_row_that_only_one_store_has_is_different() -> None:
    assert judge().verdict(ABSENT, row({0: 12})) == "different"
    assert judge().verdict(row({0: 12}), ABSENT) == "different"


def test_a_row_whose_time_is_over_may_be_gone_from_either_store() -> None:
    late = judge(clock_ms=START_MS + 6_000)
    assert late.verdict(ABSENT, row({0: 12})) == "expired"
    assert late.verdict(row({0: 12}), ABSENT) == "expired"
    assert late.verdict(row({0: 12}), row({0: 12}, clicks=2)) == "different"
