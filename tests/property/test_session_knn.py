"""The compiled session-kNN equals its plain reference, bit by bit, and its explanations are true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.recommenders.protocol import GAP, Session
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_knn_policy import SessionKnnPolicy
from domain.recommenders.session_log import SessionLog
from tests.property.session_knn_reference import DAY_MS, PastSession, scores_by_item

ITEMS = 8
UNKNOWN = ITEMS + 3

decays = st.sampled_from([0.5, 1.0, 2.0, 3.5, 40.0])
exponents = st.sampled_from([0.0, 0.5, 1.0, 1.5])
policies = st.builds(
    SessionKnnPolicy,
    sessions_per_item_max=st.integers(1, 6),
    neighbours_max=st.integers(1, 6),
    query_items_max=st.integers(1, 6),
    session_items_max=st.integers(1, 6),
    query_decay_positions=decays,
    last_match_decay_positions=decays,
    recency_decay_days=decays,
    span_decay_positions=decays,
    backward_weight=st.sampled_from([0.0, 0.5, 1.0]),
    repeat_weight=st.sampled_from([0.0, 0.6, 1.0]),
    similarity_idf_exponent=exponents,
    score_idf_exponent=exponents,
    length_exponent=exponents,
)
# Few items and few instants make repeats, shared items and ties common.
past_sessions = st.builds(
    PastSession,
    ended_at_ms=st.integers(0, 4).map(lambda days: days * DAY_MS),
    items=st.lists(st.integers(0, ITEMS - 1), max_size=8).map(tuple),
)
logs = st.lists(past_sessions, max_size=14)
queries = st.lists(st.integers(0, ITEMS - 1) | st.sampled_from([GAP, UNKNOWN]), max_size=8).map(tuple)


def knn_of(log: list[PastSession], policy: SessionKnnPolicy) -> SessionKnn:
    return SessionKnn.build(SessionLog.of((past.ended_at_ms, past.items) for past in log), ITEMS, policy)


@given(logs, queries, policies, st.integers(0, ITEMS + 2))
def test_the_kernel_ranks_exactly_as_the_reference(
    log: list[PastSession], query: tuple[int, ...], policy: SessionKnnPolicy, k: int
) -> None:
    expected = scores_by_item(log, query, ITEMS, policy)
    best_first = sorted(expected, key=lambda item: (-expected[item], item))[:k]

    ranking = knn_of(log, policy).rank(Session(query), k)

    assert ranking.items.tolist() == best_first
    assert ranking.scores.tolist() == [float(expected[item]) for item in best_first]


@given(logs, st.lists(queries, min_size=2, max_size=5), policies)
def test_a_call_leaves_no_trace_for_the_next_one(
    log: list[PastSession], asked: list[tuple[int, ...]], policy: SessionKnnPolicy
) -> None:
    used = knn_of(log, policy)
    everything = np.array([*range(ITEMS), GAP, UNKNOWN], np.int32)
    for query in asked:
        fresh = knn_of(log, policy)
        assert used.rank(Session(query), 3).items.tolist() == fresh.rank(Session(query), 3).items.tolist()
        assert used.scores(Session(query), everything).tolist() == fresh.scores(Session(query), everything).tolist()


@given(logs, queries, policies)
def test_the_scores_of_given_items_are_those_of_the_ranking(
    log: list[PastSession], query: tuple[int, ...], policy: SessionKnnPolicy
) -> None:
    expected = scores_by_item(log, query, ITEMS, policy)
    wanted = np.array([UNKNOWN, *range(ITEMS), GAP, 0], np.int32)

    scores = knn_of(log, policy).scores(Session(query), wanted)

    assert scores.tolist() == [float(expected.get(item, 0.0)) for item in wanted.tolist()]


@given(logs, queries, policies)
def test_leaving_out_the_reason_lowers_the_score_and_without_a_reason_nothing_does(
    log: list[PastSession], query: tuple[int, ...], policy: SessionKnnPolicy
) -> None:
    session = Session(query)
    asked = np.array([*range(ITEMS), 0, UNKNOWN, GAP], np.int32)
    reasons = knn_of(log, policy).because(session, asked)

    full = scores_by_item(log, query, ITEMS, policy)
    recent = Session(query[-policy.query_items_max :])
    without = {item: scores_by_item(log, recent.without(item).items, ITEMS, policy) for item in set(recent.items)}
    for item, reason in zip(asked.tolist(), reasons, strict=True):
        score = full.get(item, 0.0)
        left = [scores.get(item, 0.0) for scores in without.values()]
        if reason is None:
            assert all(each >= score for each in left)
        else:
            assert without[reason].get(item, 0.0) < score


@given(logs, queries, policies)
def test_the_shares_of_the_query_items_add_up_to_the_score(
    log: list[PastSession], query: tuple[int, ...], policy: SessionKnnPolicy
) -> None:
    policy = replace(policy, score_idf_exponent=0.0)
    knn = knn_of(log, policy)
    shares = knn.shares(Session(query), np.arange(ITEMS, dtype=np.int32))
    expected = scores_by_item(log, query, ITEMS, policy)
    assert shares.sum(axis=1) == pytest.approx([expected.get(item, 0.0) for item in range(ITEMS)], rel=1e-6)


@given(logs, queries, policies)
def test_a_saved_index_ranks_as_before(
    log: list[PastSession], query: tuple[int, ...], policy: SessionKnnPolicy
) -> None:
    knn = knn_of(log, policy)
    with TemporaryDirectory() as folder:
        knn.save(Path(folder))
        again = SessionKnn.load(Path(folder))
    assert again.policy == policy
    before, after = knn.rank(Session(query), ITEMS), again.rank(Session(query), ITEMS)
    assert (before.items.tolist(), before.scores.tolist()) == (after.items.tolist(), after.scores.tolist())


@given(logs, queries, policies)
def test_another_policy_on_the_same_index_stays_within_its_bounds(
    log: list[PastSession], query: tuple[int, ...], policy: SessionKnnPolicy
) -> None:
    """The cuts that shaped an index belong to it: a policy with smaller ones must not read past a table."""
    index = knn_of(log, policy).index
    smaller = replace(policy, sessions_per_item_max=1, session_items_max=1)
    same = SessionKnn(index, smaller).rank(Session(query), ITEMS)
    assert same.items.tolist() == SessionKnn(index, policy).rank(Session(query), ITEMS).items.tolist()
