"""The validation slice holds nothing that the sources know, and the rule of repeats is read from the log."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from batch.ranking.history import History, Questions
from batch.ranking.measures import measure
from batch.ranking.slices import is_of_baskets, validation_slice
from batch.ranking.striking import answerable, first_rule
from domain.recommenders.lineup.queries import Queries
from domain.recommenders.lineup.striking import first_kept

ITEMS = 50


def history(*rows: tuple[int, int, int], is_dated: bool = True) -> History:
    """Of rows of session, item and instant."""
    sessions, items, at_ms = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return History.of(sessions, items.astype(np.int32), at_ms, ITEMS, is_dated)


def sessions_in_a_row(count: int, repeats: float = 0.0, step_ms: int = 1) -> History:
    """Sessions of five clicks, one after another; a share of the clicks repeats the one before."""
    generator = np.random.default_rng(2)
    rows: list[tuple[int, int, int]] = []
    for session in range(count):
        items = generator.permutation(ITEMS)[:5].tolist()
        for place in range(5):
            if place and generator.random() < repeats:
                items[place] = items[place - 1]
            rows.append((session, items[place], session * 100 + place * step_ms))
    return history(*rows)


def test_what_is_asked_is_not_known_and_comes_later() -> None:
    whole = sessions_in_a_row(200)
    cut = validation_slice(whole, share=0.1)
    assert cut.known.at_ms.max() < cut.cut_at_ms
    assert len(cut.known.items) + 100 == len(whole.items)
    assert len(cut.questions) == 80
    for number in range(len(cut.questions)):
        owner = int(cut.questions.owners[number])
        assert whole.at_ms[whole.offsets[owner]] >= cut.cut_at_ms
        queries = cut.questions.queries
        known = queries.items[queries.offsets[number] : queries.offsets[number + 1]].tolist()
        session = whole.items[whole.offsets[owner] : whole.offsets[owner + 1]].tolist()
        assert session[: len(known)] == known
        assert session[len(known)] == cut.questions.first_relevant[number]
        assert queries.current[number] == known[-1]


def test_a_part_of_a_history_keeps_what_its_interactions_were_worth() -> None:
    plain = sessions_in_a_row(200, step_ms=1000)  # interleaved, so that a cut puts them into another order
    whole = replace(plain, grade_of=lambda places: (plain.items[places] % 7).astype(np.int8))
    earlier = validation_slice(validation_slice(whole, share=0.1).known, share=0.1).questions
    assert len(earlier)
    assert earlier.grades is not None
    assert earlier.grades.tolist() == (earlier.relevant % 7).tolist()


def test_items_that_only_came_after_the_cut_are_dropped_from_what_is_known_of_a_question() -> None:
    rows = [(session, place + session % 7, session * 100 + place) for session in range(99) for place in range(3)]
    newest = [(99, item, 9900 + place) for place, item in enumerate((0, 40, 2, 1, 41))]
    questions = validation_slice(history(*rows, *newest), share=0.03).questions
    assert set(questions.owners.tolist()) >= {99}
    of_newest = np.flatnonzero(questions.owners == 99)
    queries = questions.queries.part(of_newest)
    assert [queries.items[start:end].tolist() for start, end in pairwise(queries.offsets)] == [
        [0],
        [0],
        [0, 2],
        [0, 2, 1],
    ]
    assert queries.current.tolist() == [0, -1, 2, 1]
    assert questions.first_relevant[of_newest].tolist() == [40, 2, 1, 41]


def test_long_histories_are_cut_in_time_and_go_on_after_it() -> None:
    rows = [(user, (user + 7 * at) % ITEMS, at * 10 + user) for user in range(5) for at in range(40)]
    cut = validation_slice(history(*rows), share=0.1)
    assert len(cut.known) == 5
    assert len(cut.questions) == 20
    assert cut.questions.queries.lengths.min() >= 36


def test_of_baskets_the_whole_basket_is_asked_for_once() -> None:
    rows = [
        (user, (user * 3 + basket + item) % ITEMS, basket * 100)
        for user in range(6)
        for basket in range(10)
        for item in range(4)
    ]
    whole = history(*rows)
    assert is_of_baskets(whole)
    assert not is_of_baskets(sessions_in_a_row(20))
    cut = validation_slice(whole, share=0.1)
    assert len(cut.questions) == 6
    assert np.diff(cut.questions.relevant_offsets).tolist() == [4] * 6
    assert (cut.questions.queries.lengths == 36).all()


def test_without_instants_the_end_of_the_file_is_asked_for() -> None:
    rows = [(session, place + session % 7, session * 3 + place) for session in range(100) for place in range(3)]
    cut = validation_slice(history(*rows, is_dated=False), share=0.1)
    assert set(cut.questions.owners.tolist()) == set(range(90, 100))


def test_a_log_with_immediate_repeats_may_answer_with_the_current_item() -> None:
    with_repeats, without = sessions_in_a_row(400, repeats=0.3), sessions_in_a_row(400)
    asked = validation_slice(with_repeats, share=0.1).questions
    assert first_rule(with_repeats, asked, "auto") == "nothing"
    assert first_rule(with_repeats, asked, "no") == "current"
    assert first_rule(without, validation_slice(without, share=0.1).questions, "auto") == "seen"
    assert first_rule(without, validation_slice(without, share=0.1).questions, "yes") == "nothing"


def test_a_log_with_later_repeats_strikes_only_the_current_item() -> None:
    generator = np.random.default_rng(1)
    rows = [(s, int(i), s * 10 + p) for s in range(300) for p, i in enumerate([*generator.permutation(ITEMS)[:3]] * 2)]
    whole = history(*rows)
    assert first_rule(whole, validation_slice(whole, share=0.1).questions, "auto") == "current"


def questions() -> Questions:
    queries = Queries(np.array([0, 2, 3]), np.array([1, 2, 5], np.int32), np.array([2, 5], np.int32))
    return Questions(queries, np.array([0, 1, 3]), np.array([2, 7, 8], np.int32), np.array([0, 1]))


def test_questions_for_what_is_struck_are_not_asked() -> None:
    assert len(answerable(questions(), "nothing")) == 2
    assert answerable(questions(), "current").owners.tolist() == [1]


def test_lists_are_struck_and_measured() -> None:
    lists = np.array([[2, 1, 9], [8, 5, 7]], np.int32)
    asked = questions()
    assert first_kept(lists, asked.queries, "current", ITEMS, 2).tolist() == [[1, 9], [8, 7]]
    assert first_kept(lists, asked.queries, "seen", ITEMS, 2).tolist() == [[9, -1], [8, 7]]
    measured = measure(lists, asked)
    assert measured.recall == 1.0
    assert measured.reciprocal_rank == 1.0
    assert round(measured.ndcg, 4) == round((1 + (1 + 0.5) / (1 + 0.63093)) / 2, 4)
