"""The catalogue as the topic has it, on a real broker."""

from __future__ import annotations

from contextlib import closing

import pytest
from kafka import KafkaProducer

from batch.training.catalogue import read_catalogue
from infra.settings import KafkaSettings, Settings
from schemas.errors import DependencyError
from schemas.events import ItemEvent, encode
from schemas.topics import ITEMS


@pytest.mark.usefixtures("topics")
def test_the_whole_topic_is_read_and_the_newest_word_on_each_item_counts(settings: Settings) -> None:
    kafka = settings.kafka
    assert read_catalogue(kafka) == {}
    newest = {f"i{number}": ItemEvent(item_id=f"i{number}", title=f"title {number}") for number in range(300)}
    earlier = [ItemEvent(item_id=item_id, title="another") for item_id in newest]
    gone = [ItemEvent(item_id="gone"), ItemEvent(item_id="gone", deleted=True)]
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=20)) as producer:
        for item in (*earlier, *gone, *newest.values()):
            producer.send(ITEMS.named(kafka.topic_prefix).name, key=item.item_id.encode(), value=encode(item))
        producer.flush()
    assert read_catalogue(kafka) == newest


def test_without_the_topic_it_says_what_to_do(kafka: KafkaSettings) -> None:
    with pytest.raises(DependencyError, match="create it"):
        read_catalogue(kafka.model_copy(update={"topic_prefix": "nowhere-"}))
