"""Builders of experiments: as the file has them, and declared."""

from __future__ import annotations

from typing import Any

import msgspec

from domain.experiments.declaration import Declaration, read_declaration


def experiment(name: str = "weights", **fields: Any) -> dict[str, Any]:
    """An experiment of two halves that change nothing, unless `fields` say otherwise."""
    return {"name": name, "arms": [arm("control", 0.5), arm("treatment", 0.5)]} | fields


def arm(name: str, share: float, **changes: Any) -> dict[str, Any]:
    """An arm and what it changes."""
    return {"name": name, "share": share} | changes


def as_file(*experiments: dict[str, Any]) -> bytes:
    """The bytes of a file with these experiments."""
    return msgspec.json.encode({"experiments": experiments})


def declared(*experiments: dict[str, Any]) -> Declaration:
    """The declaration of a file with these experiments."""
    return read_declaration(as_file(*experiments), "experiments.json")
