"""JSON Schemas of the events: generated from the types, committed, and compared for backward compatibility.

A change is backward compatible when every event that was valid stays valid: no field may vanish, become required
or lose a permitted value, and no bound may tighten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.events import DeadLetter, ImpressionEvent, InteractionEvent, ItemEvent

FOLDER: Final = Path(__file__).parent / "json"
PUBLISHED: Final = {
    "interaction": InteractionEvent,
    "item": ItemEvent,
    "impression": ImpressionEvent,
    "dead_letter": DeadLetter,
}
_LOWER_BOUNDS: Final = ("minimum", "minLength", "minItems", "exclusiveMinimum")
_UPPER_BOUNDS: Final = ("maximum", "maxLength", "maxItems", "maxProperties", "exclusiveMaximum")

Schema = dict[str, Any]


def generate(name: str) -> Schema:
    """The JSON Schema (2020-12) of one published event."""
    schema = msgspec.json.schema(PUBLISHED[name])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def render(name: str) -> str:
    """The schema as it is committed."""
    return json.dumps(generate(name), indent=2, sort_keys=True) + "\n"


def breaking_changes(before: Schema, after: Schema) -> list[str]:
    """Sentences, one for each way in which an event valid under `before` may be refused under `after`."""
    return list(_compare("$", before, after, before, after))


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = root["$defs"][reference.removeprefix("#/$defs/")]
    return found


def _compare(path: str, before: Schema, after: Schema, root: Schema, new_root: Schema) -> Iterator[str]:
    before, after = _resolve(before, root), _resolve(after, new_root)
    yield from _compare_values(path, before, after)
    known, now = before.get("properties", {}), after.get("properties", {})
    if now or known:
        for gone in sorted(known.keys() - now.keys()):
            yield f"{path}.{gone}: the field is gone"
        for required in sorted(set(after.get("required", ())) - set(before.get("required", ()))):
            yield f"{path}.{required}: the field became required"
        for shared in sorted(known.keys() & now.keys()):
            yield from _compare(f"{path}.{shared}", known[shared], now[shared], root, new_root)
    if isinstance(before.get("items"), dict) and isinstance(after.get("items"), dict):
        yield from _compare(f"{path}[]", before["items"], after["items"], root, new_root)
    yield from _compare_alternatives(path, before, after, root, new_root)


def _compare_alternatives(path: str, before: Schema, after: Schema, root: Schema, new_root: Schema) -> Iterator[str]:
    old, new = before.get("anyOf", [before]), after.get("anyOf", [after])
    if old == [before] and new == [after]:
        return
    for alternative in old:
        problems = [list(_compare(path, alternative, candidate, root, new_root)) for candidate in new]
        if all(problems):
            yield from min(problems, key=len)


def _compare_values(path: str, before: Schema, after: Schema) -> Iterator[str]:
    types = (before.get("type"), after.get("type"))
    alternatives = "anyOf" in after or "anyOf" in before
    if types[0] != types[1] and not alternatives and types != ("integer", "number"):
        yield f"{path}: the type changed from {types[0]} to {types[1]}"
    for word in ("enum", "const"):
        if word in after:
            permitted = after[word] if word == "enum" else [after[word]]
            was = before.get("enum", [before["const"]] if "const" in before else None)
            if was is None or set(was) - set(permitted):
                yield f"{path}: permitted values went away"
    for bound in _LOWER_BOUNDS:
        if bound in after and after[bound] > before.get(bound, float("-inf")):
            yield f"{path}: {bound} tightened to {after[bound]}"
    for bound in _UPPER_BOUNDS:
        if bound in after and after[bound] < before.get(bound, float("inf")):
            yield f"{path}: {bound} tightened to {after[bound]}"
    if "pattern" in after and after["pattern"] != before.get("pattern"):
        yield f"{path}: the pattern changed"
    if after.get("additionalProperties") is False and before.get("additionalProperties") is not False:
        yield f"{path}: unknown fields became forbidden"
