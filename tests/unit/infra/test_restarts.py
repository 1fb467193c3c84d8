"""When a dead process is started again."""

from infra.processes.restarts import RestartHistory, RestartPolicy

POLICY = RestartPolicy()
DIED_AT_MS = 1_000_000_000


def after_restarts(count: int, *, every_ms: int = 1) -> RestartHistory:
    history = RestartHistory()
    for number in range(count):
        history = history.restarted(DIED_AT_MS - (count - number) * every_ms)
    return history


def delay_after(restarts: int) -> int | None:
    start_at_ms = after_restarts(restarts).next_start_at_ms(DIED_AT_MS, was_ready=True, policy=POLICY)
    return None if start_at_ms is None else start_at_ms - DIED_AT_MS


def test_the_delay_doubles_from_one_second_to_thirty() -> None:
    assert [delay_after(restarts) for restarts in range(6)] == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000]


def test_too_many_deaths_within_the_window_are_a_failure() -> None:
    assert delay_after(POLICY.restarts_max) is None


def test_restarts_before_the_window_are_forgiven() -> None:
    history = after_restarts(POLICY.restarts_max, every_ms=POLICY.window_ms)
    assert history.next_start_at_ms(DIED_AT_MS, was_ready=True, policy=POLICY) == DIED_AT_MS + POLICY.delay_min_ms


def test_one_that_was_never_ready_is_started_once_more_only() -> None:
    fresh, once = after_restarts(0), after_restarts(1)
    assert fresh.next_start_at_ms(DIED_AT_MS, was_ready=False, policy=POLICY) == DIED_AT_MS + POLICY.delay_min_ms
    assert once.next_start_at_ms(DIED_AT_MS, was_ready=False, policy=POLICY) is None
