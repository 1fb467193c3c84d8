"""Who may ask the HTTP server, how often, and how long an answer may take: docs/security.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

LOOPBACKS: Final = frozenset({"127.0.0.1", "localhost", "::1"})

Origin = Annotated[str, Field(pattern=r"^https?://[^/\s]{1,253}$")]


class AccessSettings(BaseModel):
    """Keys, limits and origins.

    Where `require_keys` says nothing, keys are asked for as soon as other machines can reach the server. The page gets
    the key in `page_key_file`, on this machine only. A key may send `requests_per_s`, or the rate that it was
    created with, to each worker process, and those of `burst_s` seconds at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    require_keys: bool | None = None
    keys_file: Path | None = None
    page_key_file: Path | None = None
    allowed_origins: tuple[Origin, ...] = ()
    requests_per_s: float = Field(default=1_000.0, gt=0)
    burst_s: float = Field(default=2.0, gt=0)
    request_timeout_ms: int = Field(default=15_000, ge=100)

    def asks_for_keys(self, host: str) -> bool:
        """Whether a server that listens on `host` asks for keys."""
        return host not in LOOPBACKS if self.require_keys is None else self.require_keys
