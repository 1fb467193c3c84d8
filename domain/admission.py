"""Admission: which records count. The stream, the lake and the batch layer apply these rules alike.

`screen` needs only the record. Duplicates and floods need the ids that were seen of the visitor, which
`domain.states` keeps.
"""

from __future__ import annotations

from domain.facts import Stamp
from domain.policies import AdmissionPolicy
from schemas.errors import Reason, RejectedEvent
from schemas.events import InteractionEvent, decode_interaction


def screen(key: str, raw: bytes | memoryview, stamp: Stamp, policy: AdmissionPolicy) -> InteractionEvent:
    """The event of a Kafka record that passes every rule that needs no state.

    Raises:
        RejectedEvent: `malformed`, `contract`, `oversize`; `key` when the Kafka key is not the visitor; `future`
            when it happened more than the tolerance after Kafka took it.
    """
    event = decode_interaction(raw)
    if key != event.visitor_id:
        raise RejectedEvent(Reason.KEY, "visitor_id", "the Kafka key must equal visitor_id: set key=visitor_id")
    ahead_ms = event.occurred_at_ms - stamp.received_at_ms
    if ahead_ms > policy.future_max_ms:
        detail = f"{ahead_ms} ms after its receipt, at most {policy.future_max_ms}: correct the producer's clock"
        raise RejectedEvent(Reason.FUTURE, "occurred_at_ms", detail)
    return event
