"""How far a group of consumers is, by what it has committed."""

from __future__ import annotations

from contextlib import closing

from kafka import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError, NotCoordinatorError

from infra.settings import Settings


def admin(settings: Settings) -> closing[KafkaAdminClient]:
    """An administrator's connection, until the block ends."""
    return closing(KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap))


def committed(client: KafkaAdminClient, group: str) -> int:
    """How many records the group has done, over all its partitions; 0 while the broker prepares its first group."""
    try:
        offsets = client.list_group_offsets({group: None})[group]
    except (CoordinatorNotAvailableError, NotCoordinatorError):
        return 0
    return sum(max(one.offset, 0) for one in offsets.values())
