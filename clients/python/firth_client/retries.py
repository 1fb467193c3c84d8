"""When a request is sent again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Retries:
    """Up to `attempts_max` attempts; between them a random part of a pause that doubles from `base_s` to `pause_max_s`.

    Taking any part of it ("full jitter") keeps many clients from coming back together:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    attempts_max: int = 4
    base_s: float = 0.1
    pause_max_s: float = 5.0
    random: random.Random = field(default_factory=random.Random)

    def pause_s(self, attempt: int, retry_after: str | None = None) -> float:
        """How long to wait after this failed attempt (from 1); at least what the server asks for in whole seconds."""
        asked_s = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
        pause_s = self.random.uniform(0, min(self.pause_max_s, self.base_s * 2 ** (attempt - 1)))
        return min(asked_s, 60.0) + pause_s
