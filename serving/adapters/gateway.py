"""The gateway: takes events in, judges each by itself, and says what Kafka has acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import msgspec
from msgspec import structs

from domain.admission import screen
from domain.facts import Stamp
from domain.policies import AdmissionPolicy
from schemas.errors import Reason, RejectedEvent
from schemas.events import InteractionContext, InteractionEvent, ItemEvent, decode, encode
from schemas.topics import INTERACTIONS, ITEMS
from serving.adapters.catalogue import Catalogue
from serving.adapters.publisher import Confirmed, Outcome, Record
from serving.adapters.spool import Spooled


class Publishing(Protocol):
    """The way into Kafka."""

    async def publish(self, records: Sequence[Record]) -> Sequence[Outcome | Spooled]:
        """One outcome a record. Raises DependencyError when it takes none of them."""
        ...


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the event at `index` of the request.

    `accepted`: Kafka has acknowledged it. `rejected`: it breaks the contract, sending it again is useless.
    `unconfirmed`: Kafka has not acknowledged it in time; send it again, its `event_id` makes that safe.
    `spooled`: it waits on the server's disk for Kafka; there is no need to send it again.
    `unknown_item`: it counts, but the catalogue does not know its item.
    """

    index: int
    verdict: Literal["accepted", "rejected", "unconfirmed", "spooled"]
    reason: Reason | None = None
    field: str = ""
    detail: str = ""
    unknown_item: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """The verdicts on one request, in its order. `received_at_ms` is Kafka's newest timestamp, 0 without any."""

    verdicts: tuple[Verdict, ...]
    received_at_ms: int

    def count(self, verdict: str) -> int:
        """How many events have this verdict."""
        return sum(each.verdict == verdict for each in self.verdicts)


class _Judged(NamedTuple):
    """What is to be published, and whether the catalogue does not know the item that it is about."""

    record: Record
    is_unknown: bool = False


class Gateway:
    """Publishes interactions and items that keep the contract."""

    def __init__(
        self,
        publisher: Publishing,
        catalogue: Catalogue,
        policy: AdmissionPolicy,
        topic_prefix: str,
        now_ms: Callable[[], int],
        note_accepted: Callable[[Sequence[str], int], None] = lambda event_ids, received_at_ms: None,
    ) -> None:
        self._publisher = publisher
        self._catalogue = catalogue
        self._policy = policy
        self._interactions = INTERACTIONS.named(topic_prefix).name
        self._items = ITEMS.named(topic_prefix).name
        self._now_ms = now_ms
        self._note_accepted = note_accepted

    async def take_interactions(self, raws: Sequence[msgspec.Raw]) -> Taken:
        """Judge and publish interactions. Raises DependencyError when too many wait for Kafka; then none was taken."""
        return await self._take(raws, self._interaction)

    async def take_items(self, raws: Sequence[msgspec.Raw]) -> Taken:
        """Judge and publish catalogue items. Raises as `take_interactions` does."""
        return await self._take(raws, self._item)

    async def _take(self, raws: Sequence[msgspec.Raw], record_of: Callable[[bytes], _Judged]) -> Taken:
        verdicts: dict[int, Verdict] = {}
        records: dict[int, Record] = {}
        unknown: set[int] = set()
        for index, raw in enumerate(raws):
            try:
                records[index], is_unknown = record_of(bytes(raw))
                if is_unknown:
                    unknown.add(index)
            except RejectedEvent as error:
                verdicts[index] = Verdict(
                    index=index, verdict="rejected", reason=error.reason, field=error.field, detail=error.detail
                )
        received_at_ms = 0
        accepted: list[str] = []
        outcomes = await self._publisher.publish(list(records.values()))
        for index, outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, Confirmed):
                received_at_ms = max(received_at_ms, outcome.received_at_ms)
                verdicts[index] = Verdict(index=index, verdict="accepted", unknown_item=index in unknown)
                accepted.append(records[index].event_id)
            elif isinstance(outcome, Spooled):
                verdicts[index] = Verdict(index=index, verdict="spooled")
            else:
                verdicts[index] = Verdict(index=index, verdict="unconfirmed", detail=outcome.problem)
        if any(accepted):
            self._note_accepted(accepted, received_at_ms)
        return Taken(tuple(verdicts[index] for index in range(len(raws))), received_at_ms)

    def _interaction(self, raw: bytes) -> _Judged:
        """What is published is what the stream will screen, so it is screened here by the same rule."""
        event = self._stamped(decode(InteractionEvent, raw))
        value = encode(event)
        screen(event.visitor_id, value, Stamp(self._now_ms(), -1, -1), self._policy)
        record = Record(self._interactions, event.visitor_id, value, event.event_id)
        return _Judged(record, self._catalogue.is_unknown(event.item_id))

    def _item(self, raw: bytes) -> _Judged:
        item = decode(ItemEvent, raw)
        return _Judged(Record(self._items, item.item_id, encode(item)))

    def _stamped(self, event: InteractionEvent) -> InteractionEvent:
        """The event with the categories and price of now, where the producer sent none: folds use only the record."""
        item = self._catalogue.item(event.item_id)
        if item is None or item.deleted:
            return event
        context: InteractionContext = event.context
        missing = {
            **({} if context.categories else {"categories": item.categories}),
            **({} if context.price_micros is not None else {"price_micros": item.price_micros}),
        }
        return structs.replace(event, context=structs.replace(context, **missing)) if missing else event
