"""What is answered about the catalogue over HTTP."""

from __future__ import annotations

import msgspec

from schemas.events import ItemEvent


class KnownItem(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /v1/items/{item_id}`.

    An item that is not `in_catalogue` may be `in_model` all the same: visitors have acted on it. `counts_as` is the
    item that it is a variant of, or itself.
    """

    item_id: str
    in_catalogue: bool
    in_model: bool
    counts_as: str
    item: ItemEvent | None
