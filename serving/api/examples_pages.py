"""Examples of what is asked and answered about pages, searches, onboarding and the catalogue: see `examples`."""

from __future__ import annotations

from typing import Any, Final

_ITEM: Final = {
    "item_id": "tt0090605",
    "title": "Aliens",
    "categories": ["sci-fi", "action"],
    "score": 0.91,
    "source": "similar",
    "reason": "because you watched Alien",
    "because": {"item_id": "tt0078748", "title": "Alien", "kind": "play", "at_ms": 1_795_000_000_000},
    "rule": None,
    "propensity": 1.0,
}
_LISTED: Final = {"item_id": "tt0078748", "title": "Alien", "categories": ["sci-fi"], "age_min": 16, "in_stock": False}

EXAMPLES_OF_PAGES: Final[dict[str, Any]] = {
    "PageRequest": {"visitor_id": "ada", "rows": ["because_you_watched", "top_picks"], "count": 8, "age": 12},
    "Page": {
        "rows": [
            {
                "row": "because_you_watched",
                "slate_id": "5b1c",
                "title_key": "row.because_you_watched",
                "title": "Because you watched Alien",
                "title_values": {"title": "Alien", "kind": "play"},
                "source": "similar",
                "reason": "goes with Alien",
                "because": _ITEM["because"],
                "value": 0.91,
                "items": [_ITEM],
            }
        ],
        "session": {"items": ["tt0078748"], "length": 1},
        "features_as_of_ms": 1_795_000_000_012,
        "covered_to_ms": 1_794_960_000_000,
        "model_version": "20261121-1",
        "experiments": [],
        "degraded": [],
        "took_ms": 4.2,
    },
    "OnboardingRequest": {"visitor_id": "ada", "items": ["tt0078748"], "categories": ["sci-fi"]},
    "Onboarded": {
        "accepted": 2,
        "received_at_ms": 1_795_000_000_005,
        "is_effective": True,
        "unknown_items": [],
        "verdicts": [{"index": 0, "verdict": "accepted"}, {"index": 1, "verdict": "accepted"}],
    },
    "OnboardingChoices": {
        "categories": [{"category": "sci-fi", "items": 412}],
        "items": [{"item_id": "tt0078748", "title": "Alien", "categories": ["sci-fi", "horror"]}],
    },
    "FoundItems": {
        "items": [
            {
                "item_id": "tt0078748",
                "title": "Alien",
                "categories": ["sci-fi", "horror"],
                "ranked_by": "session",
                "score": 0.71,
            }
        ],
        "total": 4,
        "features_as_of_ms": 1_795_000_000_012,
        "model_version": "20261121-1",
        "degraded": [],
        "took_ms": 0.9,
    },
    "Reconciled": {
        "lines": 9_742,
        "added": 12,
        "changed": 31,
        "unchanged": 9_698,
        "removed": 3,
        "refused": 1,
        "removals": "done",
        "missing": 3,
        "refused_lines": [
            {"line": 88, "reason": "contract", "field": "price", "detail": "Object contains unknown field `price`"}
        ],
        "removed_items": ["tt0103644", "tt0118583", "tt0370263"],
        "dry_run": False,
    },
    "KnownItem": {
        "item_id": "tt0078748",
        "in_catalogue": True,
        "in_model": True,
        "counts_as": "tt0078748",
        "item": _LISTED,
    },
}
