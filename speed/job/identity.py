"""For which rules a state was made: with another bucket period it would be folded into wrong buckets without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

import msgspec

from domain.policies import BucketPolicy
from domain.rows import STATE_VERSION
from schemas.errors import ConfigurationError

IDENTITY: Final = "identity.json"
REMEDY: Final = "put it back, or give the state up and read the log again: `python -m speed rebuild`"


class StateIdentity(msgspec.Struct, frozen=True):
    """What must not change under a state. The number of kept buckets may: rows tell what they have let go.

    Checkpoints are in a format of their state backend's own; in savepoints, which every one reads, it says nothing.
    """

    period_ms: int
    dedup: int
    state_version: int
    state_backend: str = "hashmap"

    @classmethod
    def of(cls, policy: BucketPolicy, state_backend: str = "hashmap") -> StateIdentity:
        """The identity of a state that this program makes under a policy."""
        return cls(policy.period_ms, policy.dedup, STATE_VERSION, state_backend)


def read_identity(folder: Path) -> StateIdentity | None:
    """What stands beside the states in a folder; None when nothing readable does."""
    try:
        return msgspec.json.decode((folder / IDENTITY).read_bytes(), type=StateIdentity)
    except (OSError, msgspec.MsgspecError):
        return None


def write_identity(folder: Path, identity: StateIdentity) -> None:
    """Say what the states in a folder are made for; the folder is created."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{IDENTITY}"
    unfinished.write_bytes(msgspec.json.encode(identity) + b"\n")
    unfinished.replace(folder / IDENTITY)


def refuse_another_backend(checkpoint: Path, found: str, wanted: str) -> NoReturn:
    """Raises ConfigurationError: a checkpoint cannot be read by another state backend than the one that wrote it."""
    raise ConfigurationError(
        "FIRTH_FLINK__STATE_BACKEND",
        f"is {wanted}, but the checkpoint {checkpoint} was written by {found}",
        f"put {found} back, start the job, take a savepoint (`python -m speed savepoint`), stop the job and change it "
        "then; or give the state up and read the log again: `python -m speed rebuild`",
    )


def refuse_another(state: Path, found: StateIdentity | None, wanted: StateIdentity) -> None:
    """Raises ConfigurationError when a state was made for other rules, or when nobody knows for which."""
    if found is None:
        raise ConfigurationError(str(state), f"has no {IDENTITY} beside it: its bucket period is not known", REMEDY)
    if found.period_ms != wanted.period_ms:
        problem = f"is {wanted.period_ms}, but the state in {state} was made for {found.period_ms}"
        raise ConfigurationError("FIRTH_POLICIES__BUCKET period_ms", problem, REMEDY)
    if found.dedup != wanted.dedup:
        problem = f"is {wanted.dedup}, but the state in {state} was made for {found.dedup}"
        raise ConfigurationError("FIRTH_POLICIES__BUCKET dedup", problem, REMEDY)
    if found.state_version != wanted.state_version:
        problem = f"has version {found.state_version}, this release reads version {wanted.state_version}"
        raise ConfigurationError(str(state), problem, REMEDY.replace("put it back", "run the release that made it"))
