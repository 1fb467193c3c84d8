"""What lies before the first record of a job that began without a state.

An item draws offsets from every partition, but a state that begins anew knows only of those that it has heard since.
Its row would never cover the stored one, whose offset of a quiet partition may be from before the job began, and the
item would stand still in the store. What was received before the job began is below what readers take from the stream,
so a new state says of every partition that it includes all up to there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import DependencyError
from speed.job.jvm import new_object
from speed.job.settings import JobSettings
from speed.job.start import Start

FILE: Final = "beginning.json"
_DECODER: Final = msgspec.json.Decoder(dict[int, int])


def offsets_before(settings: JobSettings, start: Start) -> dict[int, int]:
    """The newest offset per partition before the job's first record; kept beside the checkpoints, whose part it is.

    Raises:
        DependencyError: Kafka does not answer.
    """
    folder = Path(settings.checkpoint_dir)
    if settings.replay is not None:
        return {}
    if start.state is None:
        offsets = look_up(settings, start.at_ms)
    else:
        offsets = recall(start.state.parent if start.is_savepoint else folder)
    remember(folder, offsets)
    return offsets


def recall(folder: Path) -> dict[int, int]:
    """What `remember` left in a folder; nothing, where it left nothing readable: a row then covers less."""
    try:
        return _DECODER.decode((folder / FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}


def remember(folder: Path, offsets: Mapping[int, int]) -> None:
    """Keep the offsets in a folder, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{FILE}"
    unfinished.write_bytes(msgspec.json.encode(offsets))
    unfinished.replace(folder / FILE)


def look_up(settings: JobSettings, at_ms: int | None) -> dict[int, int]:
    """Ask Kafka; a partition whose first record is the log's first has nothing before it."""
    from py4j.protocol import Py4JJavaError

    log_start = new_object("firth.LogStart", settings.bootstrap, settings.topics.interactions)
    try:
        first = log_start.offsets(-1 if at_ms is None else at_ms)
    except Py4JJavaError as error:
        problem = str(error.java_exception)
        raise DependencyError(f"kafka {settings.bootstrap}", problem, "is it up (`python -m infra status`)?") from error
    return {int(partition): int(offset) - 1 for partition, offset in first.items() if offset > 0}
