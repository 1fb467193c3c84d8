"""Why an item stands in a slate, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from domain.slates import Act, Shown, Source

_DEEDS: Final[Mapping[str, str]] = {
    "view": "because you looked at {title}",
    "click": "because you looked at {title}",
    "play": "because you watched {title}",
    "cart": "because you put {title} into the cart",
    "purchase": "because you bought {title}",
    "rating": "because you rated {title}",
    "like": "because you liked {title}",
}


def because_of(act: Act, title_of: Callable[[str], str]) -> str:
    """The visitor's own act as a reason."""
    template = _DEEDS.get(act.kind, "because of {title}")
    return template.format(title=title_of(act.item_id) or act.item_id)


def reason_of(shown: Shown, title_of: Callable[[str], str]) -> str:
    """Why the item is there, in words."""
    if shown.because is not None:
        return because_of(shown.because, title_of)
    match shown.candidate.source:
        case Source.SESSION | Source.SIMILAR:
            return "goes with what you did"
        case Source.CATEGORY:
            return "popular in a category that you named"
        case Source.TASTE:
            return "to your taste"
        case Source.CONTENT:
            return "new, and like what you looked at"
        case Source.TRENDING:
            return "trending now"
        case Source.POPULAR:
            return "popular with everybody"
        case Source.NEW:
            return "new here"
        case Source.PINNED:
            return "chosen for this place"
