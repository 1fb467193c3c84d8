"""Which dead letters may be sent again, and with which key: decided by the rules that refused them."""

from __future__ import annotations

from dataclasses import dataclass

from domain.admission import screen
from domain.facts import Stamp
from domain.policies import AdmissionPolicy
from schemas.errors import Reason, RejectedEvent
from schemas.events import InteractionEvent, decode_interaction
from speed.commands.letters import Letter


@dataclass(frozen=True, slots=True)
class Sendable:
    """A record that would pass now."""

    letter: Letter
    event: InteractionEvent
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that would be refused again, and why."""

    letter: Letter
    reason: Reason
    detail: str


def examine(letter: Letter, policy: AdmissionPolicy, *, now_ms: int, patch_key: bool) -> Sendable | Refused:
    """Whether the record of a letter passes what needs no state, if Kafka took it now.

    A flood passes: its bucket is another now. `patch_key` keys the record by its own visitor when its key is wrong.
    """
    key, value, stamp = letter.key, letter.value, Stamp(now_ms, *letter.place)
    try:
        return Sendable(letter, screen(_text(key), value, stamp, policy), key)
    except RejectedEvent as rejection:
        if not (patch_key and rejection.reason is Reason.KEY):
            return Refused(letter, rejection.reason, rejection.detail)
    visitor = decode_interaction(value).visitor_id
    try:
        return Sendable(letter, screen(visitor, value, stamp, policy), visitor.encode())
    except RejectedEvent as rejection:
        return Refused(letter, rejection.reason, rejection.detail)


def _text(key: bytes | None) -> str:
    """As the job reads keys: one that is absent or no text is nobody's."""
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""
