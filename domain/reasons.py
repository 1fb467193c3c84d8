"""Why an item stands in a slate, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from domain.slates import Shown, Source

_DEEDS: Final[Mapping[str, str]] = {
    "view": "because you looked at {title}",
    "click": "because you looked at {title}",
    "play": "because you watched {title}",
    "cart": "because you put {title} into the cart",
    "purchase": "because you bought {title}",
    "rating": "because you rated {title}",
    "like": "because you liked {title}",
}


def reason_of(shown: Shown, title_of: Callable[[str], str]) -> str:
    """Why the item is there, in words."""
    if shown.because is not None:
        template = _DEEDS.get(shown.because.kind, "because of {title}")
        return template.format(title=title_of(shown.because.item_id) or shown.because.item_id)
    match shown.candidate.source:
        case Source.SESSION | Source.SIMILAR:
            return "goes with what you did"
        case Source.TRENDING:
            return "trending now"
        case Source.POPULAR:
            return "popular with everybody"
        case Source.PINNED:
            return "chosen for this place"
