"""What is trending: items above their own usual level."""

from __future__ import annotations

from domain.policies import DAY_MS, HOUR_MS, Policies
from domain.states import ItemState
from serving.adapters.trends import REFRESH_MS, ItemTrends
from serving.pipeline.trending import TrendWindow
from tests.builders import START_MS, fact, stamp

NOW_MS = START_MS + 5 * DAY_MS


class Clock:
    """A clock that stands until it is moved."""

    now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def state(*at_ms: int, kind: str = "view") -> bytes:
    made = ItemState.load(None, Policies())
    for index, when_ms in enumerate(at_ms):
        made.add(fact(f"e{index}", received_at_ms=when_ms, kind=kind), stamp(when_ms, offset=index))
    return made.dump()


def ranked(trends: ItemTrends) -> list[str]:
    trends.refresh()
    return [item for item, _ in trends.trending(10)]


def test_an_item_that_rises_comes_before_one_that_is_as_always() -> None:
    trends = ItemTrends(Clock())
    steady = [START_MS + day * DAY_MS + hour for day in range(6) for hour in range(10)]
    trends.take({"steady": state(*steady), "rising": state(*[NOW_MS] * 10), "once": state(NOW_MS)})
    assert ranked(trends)[0] == "rising"
    assert dict(trends.trending(10))["rising"] > dict(trends.trending(10))["steady"]


def test_dislikes_make_no_trend() -> None:
    trends = ItemTrends(Clock())
    trends.take({"bad": state(*[NOW_MS] * 10, kind="dislike")})
    assert ranked(trends) == []


def test_a_trend_fades() -> None:
    clock = Clock()
    trends = ItemTrends(clock)
    trends.take({"rising": state(*[NOW_MS] * 10)})
    trends.refresh()
    before = dict(trends.trending(1))["rising"]
    clock.now_ms += 3 * HOUR_MS
    trends.refresh()
    assert dict(trends.trending(1))["rising"] < before


def test_a_row_that_a_rebuild_repeats_does_not_replace_a_newer_one_and_a_tombstone_does() -> None:
    trends = ItemTrends(Clock())
    trends.take({"rising": state(*[NOW_MS] * 10)})
    trends.take({"rising": state(NOW_MS - DAY_MS)})
    assert ranked(trends) == ["rising"]
    trends.take({"rising": None})
    trends._ready_at_ms = 0
    assert ranked(trends) == []


def test_the_list_is_made_anew_only_now_and_then() -> None:
    clock = Clock()
    trends = ItemTrends(clock)
    assert ranked(trends) == []
    trends.take({"rising": state(NOW_MS)})
    assert ranked(trends) == []
    clock.now_ms += REFRESH_MS
    assert ranked(trends) == ["rising"]


def test_each_row_tells_how_far_the_stream_has_come() -> None:
    written: list[int] = []
    trends = ItemTrends(Clock(), written.append)
    trends.take({"a": state(START_MS, NOW_MS), "broken": b"\xc1", "b": state(START_MS)})
    assert written == [NOW_MS, START_MS]


def test_asking_ranks_nothing() -> None:
    trends = ItemTrends(Clock())
    trends.take({"rising": state(NOW_MS)})
    assert trends.trending(10) == [], "only the follower's thread makes the list"
    trends.refresh()
    assert [item for item, _ in trends.trending(10)] == ["rising"]


def test_a_forgotten_item_leaves_the_list() -> None:
    clock = Clock()
    trends = ItemTrends(clock)
    trends.take({"a": state(NOW_MS), "b": state(NOW_MS)})
    trends.take({"a": None, "c": b"\xc1"})
    assert ranked(trends) == ["b"]


def test_it_grows_beyond_its_first_size() -> None:
    trends = ItemTrends(Clock())
    trends.take({f"i{number}": state(NOW_MS) for number in range(200)})
    trends.refresh()
    assert len(trends) == 200
    assert len(trends.trending(1_000)) == 200


def test_a_forgotten_item_gives_its_place_back() -> None:
    trends = ItemTrends(Clock())
    for number in range(300):
        trends.take({f"i{number}": state(*[NOW_MS] * (number + 1))})
    for number in range(0, 300, 2):
        trends.take({f"i{number}": None, f"never-{number}": None})
    assert len(trends) == 150
    trends.refresh()
    assert {item for item, _ in trends.trending(300)} == {f"i{number}" for number in range(1, 300, 2)}
    assert ranked(trends)[0] == "i299", "levels move with their items"
    trends.take({"i0": state(NOW_MS - DAY_MS)})
    assert len(trends) == 151


def test_all_items_may_be_forgotten() -> None:
    trends = ItemTrends(Clock())
    trends.take({"a": state(NOW_MS), "b": state(NOW_MS)})
    trends.take({"b": None, "a": None})
    assert (len(trends), ranked(trends)) == (0, [])


def test_a_window_counts_what_visitors_did_in_its_buckets() -> None:
    trends = ItemTrends(Clock())
    trends.take(
        {
            "today": state(*[NOW_MS] * 3),
            "this-week": state(*[NOW_MS - 2 * DAY_MS] * 5),
            "disliked": state(*[NOW_MS] * 9, kind="dislike"),
        }
    )
    trends.refresh()
    assert list(trends.within(TrendWindow.DAY, 10)) == [("today", 3.0)]
    assert list(trends.within(TrendWindow.WEEK, 10)) == [("this-week", 5.0), ("today", 3.0)]


def test_a_window_moves_on_without_a_new_row() -> None:
    clock = Clock()
    trends = ItemTrends(clock)
    trends.take({"today": state(NOW_MS)})
    trends.refresh()
    assert [item for item, _ in trends.within(TrendWindow.DAY, 10)] == ["today"]
    clock.now_ms += DAY_MS
    trends.refresh()
    assert list(trends.within(TrendWindow.DAY, 10)) == []
