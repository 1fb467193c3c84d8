"""One event followed through what the stages wrote, on a real broker and a real lake."""

from __future__ import annotations

import base64
import json
from contextlib import closing

import pytest
from kafka import KafkaProducer

from batch.lake.archiver import archive_to_end
from domain.rows import encode_row, open_row
from infra.settings import Settings
from infra.trace import KafkaLog, Step, trace
from schemas.errors import Reason
from schemas.events import DeadLetter, encode
from tests.builders import interaction

pytestmark = pytest.mark.usefixtures("topics")


def by_stage(settings: Settings, event_id: str) -> dict[str, Step]:
    return {step.stage: step for step in trace(KafkaLog(settings.kafka), settings, event_id, since_ms=0)}


def test_an_event_is_found_where_it_has_been_and_missed_where_it_has_not(settings: Settings) -> None:
    prefix = settings.kafka.topic_prefix
    with closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap)) as producer:
        said = [
            producer.send(f"{prefix}interactions", key=b"ada", value=encode(interaction(name))).get(30)
            for name in ("e1", "e2", "e3")
        ]
        sent = said[-1]
        row = open_row(None)
        row.offsets = {sent.partition: sent.offset - 1}  # of e1 and e2, and not yet of e3
        producer.send(f"{prefix}visitor-states", key=b"ada", value=encode_row(row)).get(30)
        letter = DeadLetter(
            reason=Reason.FLOOD,
            detail="too many",
            topic="interactions",
            partition=sent.partition,
            offset=sent.offset,
            received_at_ms=sent.timestamp,
            raw_base64=base64.b64encode(encode(interaction("e3"))).decode(),
        )
        key = f"{sent.partition}:{sent.offset}".encode()
        producer.send(f"{prefix}dead-letters", key=key, value=encode(letter)).get(30)
    archive_to_end(settings)
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    (settings.logs_dir / "serving.log").write_text(json.dumps({"event": "event.refused", "event_id": "e3"}) + "\n")

    folded = by_stage(settings, "e2")
    assert [stage for stage, step in folded.items() if step.is_known] == ["interactions", "visitor-states", "lake"]
    assert [stage for stage, step in folded.items() if not step.is_known] == ["item-states", "online store"]

    refused = by_stage(settings, "e3")
    assert refused["dead-letters"].told.startswith("flood: too many")
    assert "visitor-states" not in refused
    assert refused["log of serving"].is_known

    assert not any(step.is_known for step in by_stage(settings, "e4").values())
