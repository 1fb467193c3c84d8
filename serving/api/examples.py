"""Examples for OpenAPI, by the name of the type that they are of; the tests decode each of them with it."""

from __future__ import annotations

from typing import Any, Final

from serving.api.examples_pages import EXAMPLES_OF_PAGES

_BECAUSE: Final = {"item_id": "tt0078748", "title": "Alien", "kind": "play", "at_ms": 1_795_000_000_000}
_ITEM: Final = {
    "item_id": "tt0090605",
    "title": "Aliens",
    "categories": ["sci-fi", "action"],
    "score": 1.042,
    "source": "session",
    "reason": "because you watched Alien",
    "because": _BECAUSE,
    "rule": None,
    "propensity": 1.0,
}
_PINNED: Final = {
    "item_id": "tt1375666",
    "title": "Inception",
    "categories": ["sci-fi"],
    "score": 0.0,
    "source": "pinned",
    "reason": "chosen for this place",
    "because": None,
    "rule": "spring-sale",
    "propensity": 1.0,
}
_KNOWN: Final = {
    "session": {"items": ["tt0078748"], "length": 1},
    "features_as_of_ms": 1_795_000_000_012,
    "covered_to_ms": 1_794_960_000_000,
    "model_version": "20261121-1",
    "degraded": [],
    "took_ms": 1.37,
}
_QUERY: Final = {
    "visitor_id": "ada",
    "placement": "item",
    "count": 12,
    "context_items": ["tt0078748"],
    "clicks": [{"item_id": "tt0078748", "kind": "play", "at_ms": 1_795_000_000_000}],
    "filter": 'category in ("drama", "sci-fi") and price < 20 and not tags has "18+"',
    "exclude": ["tt0103644"],
}
_TERMS: Final = {
    "action": "pin",
    "items": ["tt1375666"],
    "position": 1,
    "placements": ["home", "item"],
    "ends_at_ms": 1_796_000_000_000,
    "note": "spring sale",
}
_RULE: Final = {**_TERMS, "rule_id": "spring-sale", "version": 1_795_000_000_000}

EXAMPLES: Final[dict[str, Any]] = {
    **EXAMPLES_OF_PAGES,
    "InteractionEvent": {
        "event_id": "6f1c",
        "visitor_id": "ada",
        "item_id": "tt0078748",
        "kind": "play",
        "occurred_at_ms": 1_795_000_000_000,
        "value": 5_400_000.0,
    },
    "ItemEvent": {
        "item_id": "tt0078748",
        "title": "Alien",
        "categories": ["sci-fi", "horror"],
        "tags": ["space"],
        "price_micros": 9_990_000,
        "attributes": {"year": 1979},
    },
    "RecommendationsRequest": _QUERY,
    "Slate": {
        "slate_id": "0b7e2f",
        "placement": "item",
        "items": [_ITEM, _PINNED],
        **_KNOWN,
        "experiments": [{"experiment": "weights", "arm": "treatment", "propensity": 0.5}],
        "next_cursor": "AXy_dQ",
        "removed": [{"item_id": "tt0103644", "source": "session", "why": "excluded", "rule": None}],
    },
    "RankRequest": {"visitor_id": "ada", "items": ["tt1375666", "tt0090605", "new"], "explain": True},
    "RankedItems": {
        "items": [
            {
                "item_id": "tt0090605",
                "title": "Aliens",
                "ranked_by": "session",
                "is_known": True,
                "score": 0.71,
                "because": _BECAUSE,
            },
            {
                "item_id": "new",
                "title": "",
                "ranked_by": "unknown",
                "is_known": False,
                "score": 0.0,
                "because": None,
            },
        ],
        **_KNOWN,
    },
    "Explanation": {
        "item_id": "tt0103644",
        "title": "Alien 3",
        "is_shown": False,
        "stage": "filter",
        "detail": "a rule of the shop hides it",
        "position": None,
        "source": "session",
        "score": 0.55,
        "why": "rule",
        "rule": "not-now",
        "because": None,
        "model_version": "20261121-1",
        "degraded": [],
    },
    "ItemList": {
        "items": [{**_ITEM, "source": "trending", "reason": "trending now", "because": None}],
        "model_version": "20261121-1",
        "degraded": [],
    },
    "Verdicts": {
        "accepted": 1,
        "rejected": 1,
        "spooled": 0,
        "received_at_ms": 1_795_000_000_005,
        "verdicts": [
            {"index": 0, "verdict": "accepted"},
            {"index": 1, "verdict": "rejected", "reason": "contract", "field": "kind", "detail": "Invalid enum value"},
        ],
    },
    "RuleTerms": _TERMS,
    "RuleEvent": _RULE,
    "Rules": {"rules": [_RULE], "rules_max": 200},
    "PreviewRequest": {"rule": _TERMS, "query": {"visitor_id": "ada", "count": 2}, "rule_id": "spring-sale"},
    "Preview": {
        "replaces_version": None,
        "holds_now": True,
        "before": [_ITEM],
        "after": [_ITEM, _PINNED],
        "hidden": [],
    },
    "Problem": {
        "type": "urn:firth:problem:contract",
        "title": "The request breaks the contract",
        "status": 422,
        "detail": "filter: no field 'categry'; did you mean `category`?",
        "field": "filter",
        "position": 1,
        "remedy": "did you mean `category`?",
    },
}
