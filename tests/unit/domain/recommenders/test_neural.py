"""The neural session models in numpy: steps, batches and rankings agree with each other and with plain loops."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from domain.recommenders.neural import FILE, SHAPE_FILE, UNTRAINED_BIAS, NeuralSessionModel
from domain.recommenders.neural_encoders import EncoderKind, EncoderShape
from domain.recommenders.protocol import GAP, Session
from domain.recommenders.session_log import SessionLog
from domain.recommenders.stored import UnreadableModel

KINDS: tuple[EncoderKind, ...] = ("gru", "sasrec", "bert4rec")
ITEMS = 200
UNTRAINED = 7


def model(kind: EncoderKind = "gru", clicks_max: int = 6, items: int = ITEMS) -> NeuralSessionModel:
    generator = np.random.default_rng(3)
    shape = EncoderShape(kind, dimensions=8, clicks_max=clicks_max, temperature=0.1, heads=2, layers=2)
    vectors = generator.standard_normal((items, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    biases = np.zeros(items, np.float32)
    vectors[UNTRAINED], biases[UNTRAINED] = 0, UNTRAINED_BIAS
    arrays = {name: generator.standard_normal(size).astype(np.float32) * 0.4 for name, size in shape.arrays().items()}
    return NeuralSessionModel(vectors, biases, shape, arrays)


def sessions(longest: int = 9) -> SessionLog:
    generator = np.random.default_rng(5)
    return SessionLog.of((0, generator.integers(0, ITEMS, length).tolist()) for length in [*range(longest + 1), 3, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_encoded_together_are_as_when_encoded_alone(kind: EncoderKind) -> None:
    neural, log = model(kind), sessions()
    together = neural.encode(log.offsets, log.items)
    for number in range(len(log)):
        items = log.items[log.offsets[number] : log.offsets[number + 1]]
        alone = neural.encode(np.array([0, len(items)]), items)[0]
        np.testing.assert_allclose(together[number], alone, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_stepping_click_by_click_arrives_at_the_encoded_session(kind: EncoderKind) -> None:
    neural, log = model(kind, clicks_max=9), sessions()
    encoded = neural.encode(log.offsets, log.items)
    for number in range(1, len(log)):
        state = neural.start()
        for item in log.items[log.offsets[number] : log.offsets[number + 1]].tolist():
            state = neural.step(state, item)
        np.testing.assert_allclose(neural.read(state), encoded[number], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_without_an_item_is_encoded_as_the_shorter_session(kind: EncoderKind) -> None:
    neural, log = model(kind), sessions()
    for number in range(len(log)):
        items = log.items[log.offsets[number] : log.offsets[number + 1]]
        left_out = np.array([GAP, *items.tolist()], np.int32)
        encoded = neural.encode_without(items, left_out)
        for row, each in zip(encoded, left_out, strict=True):
            rest = items[items != each]
            np.testing.assert_allclose(row, neural.encode(np.array([0, len(rest)]), rest)[0], atol=1e-5)


def test_a_step_leaves_the_state_it_was_given_as_it_is() -> None:
    neural = model()
    before = neural.step(neural.start(), 1)
    copy = before.copy()
    neural.step(before, 2)
    assert (before == copy).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_clicks_matters(kind: EncoderKind) -> None:
    neural = model(kind)
    assert neural.rank(Session((1, 2, 3)), 5).scores.tolist() != neural.rank(Session((3, 2, 1)), 5).scores.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_unknown_and_untrained_items_are_passed_over(kind: EncoderKind) -> None:
    neural = model(kind)
    ranking = neural.rank(Session((GAP, 4, UNTRAINED, 9, ITEMS + 5)), 10)
    known = neural.rank(Session((4, 9)), 10)
    assert ranking.items.tolist() == known.items.tolist()
    np.testing.assert_allclose(ranking.scores, known.scores, atol=1e-5)


def test_a_session_without_a_known_item_gets_no_ranking_and_the_biases_as_scores() -> None:
    neural = model()
    assert len(neural.rank(Session((GAP, UNTRAINED)), 10)) == 0
    assert neural.scores(Session(()), np.array([0, UNTRAINED], np.int32)).tolist() == [0, UNTRAINED_BIAS]
    assert not neural.encode(np.array([0, 0, 1]), np.array([UNTRAINED], np.int32)).any()


@pytest.mark.parametrize("k", [0, 1, 3, 20, ITEMS - 1, ITEMS, ITEMS + 50])
def test_a_ranking_is_the_sorted_logits_of_the_trained_items(k: int) -> None:
    neural = model()
    logits = neural.scores(Session((1, 2)), np.arange(ITEMS, dtype=np.int32))
    expected = [item for item in np.argsort(-logits, kind="stable").tolist() if item != UNTRAINED][:k]
    ranking = neural.rank(Session((1, 2)), k)
    assert ranking.items.tolist() == expected
    np.testing.assert_allclose(ranking.scores, logits[expected], atol=1e-5)


@pytest.mark.parametrize("k", [2, 21])
def test_many_sessions_are_ranked_as_each_alone(k: int) -> None:
    neural, log = model(items=900), sessions()
    items, scores = neural.rank_many(neural.encode(log.offsets, log.items), k)
    assert items.shape == scores.shape == (len(log), k)
    for number in range(1, len(log)):
        alone = neural.rank(Session(tuple(log.items[log.offsets[number] : log.offsets[number + 1]].tolist())), k)
        assert items[number].tolist() == alone.items.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_ranks_the_same(kind: EncoderKind, tmp_path: Path) -> None:
    neural = model(kind)
    neural.save(tmp_path)
    loaded = NeuralSessionModel.load(tmp_path)
    assert loaded.shape == neural.shape
    assert loaded.rank(Session((1, 2, 3)), 9).scores.tolist() == neural.rank(Session((1, 2, 3)), 9).scores.tolist()


def test_a_missing_damaged_or_contradictory_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel):
        NeuralSessionModel.load(tmp_path)
    model().save(tmp_path)
    (tmp_path / SHAPE_FILE).write_bytes((tmp_path / SHAPE_FILE).read_bytes().replace(b'"gru"', b'"sasrec"'))
    with pytest.raises(UnreadableModel, match="norm_weight"):
        NeuralSessionModel.load(tmp_path)
    (tmp_path / SHAPE_FILE).write_bytes(b'{"kind": "gru"}')
    with pytest.raises(UnreadableModel, match="dimensions"):
        NeuralSessionModel.load(tmp_path)
    model().save(tmp_path)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:300])
    with pytest.raises(UnreadableModel):
        NeuralSessionModel.load(tmp_path)


def test_arrays_that_do_not_fit_are_refused() -> None:
    fitting = model()
    with pytest.raises(ValueError, match="dimensions"):
        NeuralSessionModel(fitting.vectors[:, :4], fitting.biases, fitting.shape, fitting.arrays)
    with pytest.raises(ValueError, match="output_bias"):
        NeuralSessionModel(
            fitting.vectors, fitting.biases, fitting.shape, {**fitting.arrays, "output_bias": fitting.biases}
        )
    with pytest.raises(ValueError, match="heads"):
        EncoderShape("sasrec", dimensions=8, clicks_max=5, temperature=0.1, heads=3)


def test_threads_do_not_disturb_each_other() -> None:
    neural, log = model("sasrec"), sessions()
    expected = neural.encode(log.offsets, log.items)
    wrong: list[int] = []

    def encode_often() -> None:
        wrong.extend(1 for _ in range(10) if not np.array_equal(neural.encode(log.offsets, log.items), expected))

    threads = [threading.Thread(target=encode_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
