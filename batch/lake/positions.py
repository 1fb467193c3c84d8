"""Where a reader of the topic stands: marks to pass, and gaps that nothing can fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import ConsistencyError


@dataclass(frozen=True, slots=True)
class Mark:
    """Every partition's end offset, read at or after an instant."""

    at_ms: int
    ends: Mapping[int, int]

    def is_passed_by(self, positions: Mapping[int, int]) -> bool:
        """Whether everything below the end offsets has been read."""
        return all(positions.get(partition, 0) >= end for partition, end in self.ends.items())


def refuse_a_gap(topic: str, partition: int, position: int, start: int, end: int) -> None:
    """Raise ConsistencyError unless a position lies within what the partition holds."""
    where = f"{topic} partition {partition}"
    if position < start:
        raise ConsistencyError(f"{where}: offsets {position} to {start - 1} were deleted before they were archived")
    if position > end:
        raise ConsistencyError(
            f"{where}: the lake has archived up to {position}, but the topic ends at {end}: it is another topic; "
            "point FIRTH_STATE_DIR and FIRTH_KAFKA__* to what belongs together"
        )
