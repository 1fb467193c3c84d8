"""Parity: what the stores say against a recomputation from the log, field by field. Only 0 mismatches are good.

Every view is compared, as everybody may read it with Feast's SDK: the session; the buckets of the stream that batch
does not cover; the totals of batch; and the merged values. `batch.parity_comparer` tells when a row can be compared.
A late batch is no mismatch: rows that lack what the stream has let go and batch does not cover are `history_gaps`.
Memory: the records of the selected keys, about 2 KB each, and of all others who touched the selected items 0.5 KB.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from typing import Final

from batch.expectation import Key
from batch.lake.archiver import now_ms
from batch.parity_comparer import ENTITIES, Comparer, Owed
from batch.parity_findings import Parity
from batch.parity_log import LakeLog
from batch.stored_rows import StoredRows
from domain.features import Entity
from domain.manifests import published_cutoff_ms
from infra.settings import Settings

SETTLE_LIMIT_S: Final = 30.0
LOGGED_MAX: Final = 10
"""Lines a run: while a layer is away every row differs."""

log = logging.getLogger(__name__)


def compare(
    settings: Settings, *, sample: int | None, is_at_rest: bool, settle_limit_s: float = SETTLE_LIMIT_S
) -> Parity:
    """Compare a sample of visitors and as many items; or all of them, and rows of keys that the log does not know."""
    published_ms = published_cutoff_ms(settings.artifacts_dir) or 0
    archived = LakeLog(settings)
    with closing(StoredRows(settings)) as rows:
        known = archived.keys()
        keys = choose(known, sample, random.Random())
        if sample is None:
            keys += unknown_keys(rows.keys(), known)
        until_ms, row_ttl_ms = now_ms() + round(settle_limit_s * 1_000), settings.redis.row_ttl_s * 1_000
        owed = Owed.at(until_ms, published_ms, settings.policies, row_ttl_ms)
        found = Comparer(rows, archived, settings.policies, owed).run(
            keys, is_at_rest=is_at_rest, limit_s=settle_limit_s
        )
    report(found)
    return found


def report(found: Parity) -> None:
    """Log what is wrong. A visitor's id is personal, so that the line has a hash of the key."""
    if found.history_gaps:
        log.warning("history.gapped", extra={"keys": found.history_gaps})
    if found.mismatches:
        log.error("parity.broken", extra={"mismatches": found.mismatches, "behind": found.behind, "rows": found.rows})
    for one in found.worst[:LOGGED_MAX]:
        key_hash = sha256(one.key.encode()).hexdigest()[:16]
        both = {"expected": one.expected, "actual": one.actual}
        log.error("feature.differed", extra={"feature": one.feature, "key_hash": key_hash, **both})
        log.debug("key.hashed", extra={"key": one.key, "key_hash": key_hash})


def choose(keys: Mapping[Entity, Sequence[str]], sample: int | None, generator: random.Random) -> list[Key]:
    """All keys, or a random sample of each entity's."""
    chosen = []
    for entity in ENTITIES:
        known = keys[entity]
        picked = known if sample is None else generator.sample(known, min(sample, len(known)))
        chosen += [(entity, key) for key in picked]
    return chosen


def unknown_keys(stored: Mapping[Entity, Sequence[str]], known: Mapping[Entity, Sequence[str]]) -> list[Key]:
    """Keys that have a row and are not in the log: made up, unless they are newer than the list of what is known."""
    return [(entity, key) for entity in ENTITIES for key in sorted({*stored[entity]} - {*known[entity]})]
