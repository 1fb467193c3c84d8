from __future__ import annotations

from random import Random

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from domain.encoded_timeline import TimelineIndex
from domain.policies import TimelinePolicy
from domain.rows import NO_VISITS
from domain.timeline import Timeline, Visit
from tests.builders import visit

visits = st.lists(
    st.builds(
        visit, st.integers(0, 300), st.sampled_from(["", "x", "y"]), item=st.sampled_from("abc"), kind=st.just("view")
    ),
    max_size=25,
)
policies = st.builds(TimelinePolicy, horizon_ms=st.integers(0, 300), visits_max=st.integers(1, 10))


def timeline(found: list[Visit], policy: TimelinePolicy) -> Timeline:
    return Timeline(tuple(found)).merge(Timeline(), policy)


@given(visits, visits, policies)
def test_merge_is_commutative(a: list[Visit], b: list[Visit], policy: TimelinePolicy) -> None:
    left, right = timeline(a, policy), timeline(b, policy)
    assert left.merge(right, policy) == right.merge(left, policy)


@given(visits, visits, visits, policies)
def test_merge_is_associative_bounds_included(
    a: list[Visit], b: list[Visit], c: list[Visit], policy: TimelinePolicy
) -> None:
    x, y, z = timeline(a, policy), timeline(b, policy), timeline(c, policy)
    assert x.merge(y, policy).merge(z, policy) == x.merge(y.merge(z, policy), policy)


@given(visits, policies)
def test_merge_is_idempotent(a: list[Visit], policy: TimelinePolicy) -> None:
    found = timeline(a, policy)
    assert found.merge(found, policy) == found


@given(visits, policies, st.randoms(use_true_random=False))
def test_order_and_redelivery_do_not_matter(a: list[Visit], policy: TimelinePolicy, random: Random) -> None:
    again = a + a
    random.shuffle(again)
    one_by_one = Timeline()
    for one in again:
        one_by_one = one_by_one.add(one, policy)
    assert one_by_one == timeline(a, policy)


@given(visits, policies)
@example([visit(n) for n in range(40)], TimelinePolicy(visits_max=20))
def test_an_encoded_timeline_says_what_a_decoded_one_says_after_every_visit(
    a: list[Visit], policy: TimelinePolicy
) -> None:
    plain, encoded, index = Timeline(), NO_VISITS, TimelineIndex()
    for one in a:
        assert index.is_late(one, policy) == plain.is_late(one, policy)
        plain, encoded = plain.add(one, policy), index.add(encoded, one, policy)
        index = msgspec.msgpack.decode(msgspec.msgpack.encode(index), type=TimelineIndex)
        assert bytes(encoded) == msgspec.msgpack.encode(plain.visits)
