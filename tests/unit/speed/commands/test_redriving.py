"""Which dead letters may be sent again."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from domain.policies import AdmissionPolicy
from schemas.errors import Reason
from schemas.events import DeadLetter, encode
from speed.commands.letters import Letter
from speed.commands.redriving import Refused, Sendable, examine
from tests.builders import START_MS, interaction


def letter(reason: Reason, value: bytes, *, key: bytes | None = b"ada") -> Letter:
    encoded = None if key is None else base64.b64encode(key).decode()
    content = DeadLetter(
        reason=reason,
        detail="",
        topic="interactions",
        partition=1,
        offset=2,
        received_at_ms=START_MS,
        raw_base64=base64.b64encode(value).decode(),
        key_base64=encoded,
    )
    return Letter(content, None)


def examined(one: Letter, **options: Any) -> Sendable | Refused:
    return examine(one, AdmissionPolicy(), **{"now_ms": START_MS, "patch_key": False, **options})


@pytest.mark.parametrize("reason", [Reason.FLOOD, Reason.CONTRACT, Reason.FUTURE])
def test_a_record_that_passes_now_is_sent_byte_for_byte_with_its_own_key(reason: Reason) -> None:
    raw = encode(interaction()).replace(b",", b" ,  ")
    found = examined(letter(reason, raw))
    assert isinstance(found, Sendable)
    assert (found.key, found.letter.value) == (b"ada", raw)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"{", Reason.MALFORMED), (b"", Reason.MALFORMED), (b"{}", Reason.CONTRACT), (b"x" * 17_000, Reason.OVERSIZE)],
)
@pytest.mark.parametrize("patch_key", [False, True])
def test_what_is_still_no_event_is_refused_again(value: bytes, reason: Reason, patch_key: bool) -> None:
    found = examined(letter(reason, value), patch_key=patch_key)
    assert isinstance(found, Refused)
    assert found.reason is reason


def test_what_happened_in_the_future_passes_once_that_has_come() -> None:
    one = letter(Reason.FUTURE, encode(interaction(at_ms=START_MS + 600_000)))
    assert isinstance(examined(one), Refused)
    assert isinstance(examined(one, now_ms=START_MS + 300_000), Sendable)


@pytest.mark.parametrize("key", [None, b"", b"bob", b"\xff"])
def test_a_wrong_key_is_refused_again_unless_it_may_be_patched(key: bytes | None) -> None:
    one = letter(Reason.KEY, encode(interaction(visitor="ada")), key=key)
    assert isinstance(examined(one), Refused)
    found = examined(one, patch_key=True)
    assert isinstance(found, Sendable)
    assert found.key == b"ada"


def test_a_patched_key_does_not_excuse_the_rest() -> None:
    one = letter(Reason.KEY, encode(interaction(at_ms=START_MS + 600_000)), key=None)
    found = examined(one, patch_key=True)
    assert isinstance(found, Refused)
    assert found.reason is Reason.FUTURE


def test_an_old_letter_without_its_key_is_like_one_that_had_none() -> None:
    assert letter(Reason.KEY, b"", key=None).key is None
    assert letter(Reason.KEY, b"", key=b"").key == b""
