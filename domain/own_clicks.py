"""Read your own writes: a visitor's acts that came with the query, before the stream has told of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from domain.policies import SessionPolicy
from domain.sessions import cart_after
from domain.slates import Act, Visitor


def with_clicks(visitor: Visitor, clicks: Sequence[Act], asked_at_ms: int, policy: SessionPolicy) -> Visitor:
    """The visitor as the stream will know them once it has these acts, too.

    An act of which the stream has told is the same act, and one of the future, by a clock that is ahead, is one of now.
    The session is again the last run without a gap above the policy's, and over when it ended longer ago.
    """
    known = {*visitor.session, *visitor.past}
    new = {act._replace(at_ms=min(act.at_ms, asked_at_ms)) for act in clicks} - known
    if not new:
        return visitor
    acts = _in_order({*visitor.session, *new})
    start = next((at for at in range(len(acts) - 1, 0, -1) if acts[at].at_ms - acts[at - 1].at_ms > policy.gap_ms), 0)
    is_running = asked_at_ms - acts[-1].at_ms <= policy.gap_ms
    session = acts[start:] if is_running else ()
    told = len(set(visitor.session) & set(session))
    return replace(
        visitor,
        session=session,
        past=_in_order({*visitor.past, *acts} - set(session)) if len(session) < len(acts) else visitor.past,
        session_length=len(session) - told + (visitor.session_length if told else 0),
        cart=tuple(_cart_with(visitor.cart if told else (), _in_order(new))) if is_running else (),
    )


def _in_order(acts: Iterable[Act]) -> tuple[Act, ...]:
    return tuple(sorted(acts, key=lambda act: (act.at_ms, act.item_id, act.kind)))


def _cart_with(before: Sequence[str], acts: Sequence[Act]) -> list[str]:
    return cart_after(before, [act.kind for act in acts], [act.item_id for act in acts])
