"""New items: those on which nobody has acted get a few places of a slate, for no model can know what they are worth.

What is never shown is never clicked, and stays unknown. So of every `EVERY` places one is kept for the new item that
has most in common with the session; what is done with it tells the models of the next day. A new item whose own score
is higher stays where that puts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from domain.slates import Candidate, Source

EVERY: Final = 10


def with_new_items(ranked: Sequence[Candidate], every: int = EVERY) -> tuple[Candidate, ...]:
    """The candidates, best first, with the n-th new one at place n * `every`, counted from 1, or before it.

    One that is raised gets the score of the candidate behind it, so that scores still descend.
    """
    waiting = [each for each in ranked if each.source is Source.CONTENT and each.score > 0]
    if not waiting:
        return tuple(ranked)
    placed: list[Candidate] = []
    shown = 0
    for each in ranked:
        if each.source is Source.CONTENT:
            if each not in waiting:
                continue  # it was raised
            waiting.remove(each)
            shown += 1
        elif waiting and len(placed) + 1 >= (shown + 1) * every:
            placed.append(replace(waiting.pop(0), score=each.score))
            shown += 1
        placed.append(each)
    return tuple(placed)
