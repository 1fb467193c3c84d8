"""When a dead process is started again: after a growing delay, and not for ever. Pure: instants come from outside."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Delays double from `delay_min_ms` to `delay_max_ms`; more than `restarts_max` within `window_ms` is a failure.

    A process that was never ready is most likely misconfigured: it gets `unready_restarts_max` more chances only.
    """

    delay_min_ms: int = 1_000
    delay_max_ms: int = 30_000
    restarts_max: int = 6
    window_ms: int = 10 * 60_000
    unready_restarts_max: int = 1

    def delay_ms(self, restarts: int) -> int:
        """How long to wait before the next start when there were this many restarts within the window."""
        return int(min(self.delay_min_ms * 2**restarts, self.delay_max_ms))


@dataclass(frozen=True, slots=True)
class RestartHistory:
    """When a process was started again, oldest first."""

    restarted_at_ms: tuple[int, ...] = ()

    def next_start_at_ms(self, died_at_ms: int, *, was_ready: bool, policy: RestartPolicy) -> int | None:
        """When to start again after a death; None when it has died too often."""
        recent = self._within(died_at_ms - policy.window_ms)
        allowed = policy.restarts_max if was_ready else policy.unready_restarts_max
        return died_at_ms + policy.delay_ms(recent) if recent < allowed else None

    def restarted(self, at_ms: int) -> RestartHistory:
        """The history with one more restart."""
        return RestartHistory((*self.restarted_at_ms, at_ms))

    def _within(self, since_ms: int) -> int:
        return sum(1 for instant in self.restarted_at_ms if instant > since_ms)
