"""MovieLens 100k as an event log: fetched by package name at run time, never committed.

The data set ships inside the PyPI wheel of RecBole (`recbole/dataset_example/ml-100k`). Source: GroupLens, F. M.
Harper and J. A. Konstan, "The MovieLens Datasets", ACM TiiS 5(4), 2015; its licence permits research use.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from schemas.errors import DependencyError
from schemas.events import ItemEvent

PACKAGE: Final = "recbole==1.2.1"
FOLDER: Final = "recbole/dataset_example/ml-100k/ml-100k"
HISTORY_SHARE: Final = 0.9
SESSION_GAP_MS: Final = 30 * 60_000


@dataclass(frozen=True, slots=True)
class Rating:
    """One rating, at its own time. `session` numbers the visitor's sittings: runs without a gap of half an hour."""

    visitor: str
    item: str
    value: float
    at_ms: int
    session: int = 0


@dataclass(frozen=True, slots=True)
class MovieLens:
    """The log cut at its 90 % quantile of time: `history` is imported, `live` is streamed. Both oldest first."""

    history: list[Rating]
    live: list[Rating]
    items: dict[str, ItemEvent]


def fetch(folder: Path) -> Path:
    """The wheel, downloaded once into `folder`.

    Raises:
        DependencyError: when pip cannot get it.
    """
    found = sorted(folder.glob("recbole-*.whl"))
    if found:
        return found[0]
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    command[0] = _python_with_pip()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        problem = done.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise DependencyError(f"the package {PACKAGE}", problem[0], "check the network, then run the command again")
    return sorted(folder.glob("recbole-*.whl"))[0]


def _python_with_pip() -> str:
    """The interpreter that this environment was made from: environments made by uv have no pip of their own."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(base) if base.exists() else sys.executable


def read(wheel: Path) -> MovieLens:
    """The data set, ordered by time and cut."""
    with zipfile.ZipFile(wheel) as archive:
        ratings = _table(archive.read(f"{FOLDER}.inter"))
        titles = _table(archive.read(f"{FOLDER}.item"))
    items = {
        row["item_id:token"]: ItemEvent(
            item_id=row["item_id:token"],
            title=_title(row["movie_title:token_seq"], row["release_year:token"]),
            categories=tuple((row["class:token_seq"] or "unknown").split()),
            published_at_ms=_new_year_ms(row["release_year:token"]),
        )
        for row in titles.to_pylist()
    }
    found = [
        Rating(
            row["user_id:token"], row["item_id:token"], float(row["rating:float"]), int(row["timestamp:float"]) * 1000
        )
        for row in ratings.to_pylist()
    ]
    ordered = sorted(_in_sessions(found), key=lambda rating: (rating.at_ms, rating.visitor, rating.item))
    cut = int(len(ordered) * HISTORY_SHARE)
    return MovieLens(ordered[:cut], ordered[cut:], items)


def write_history(data: MovieLens, ends_before_ms: int, path: Path) -> None:
    """The history as a Parquet file for `python -m batch import`, shifted so that it ends just before an instant."""
    shift_ms = ends_before_ms - 1 - data.history[-1].at_ms
    columns = {
        "visitor_id": [f"ml-{rating.visitor}" for rating in data.history],
        "item_id": [rating.item for rating in data.history],
        "kind": ["rating"] * len(data.history),
        "value": [rating.value for rating in data.history],
        "occurred_at_ms": [rating.at_ms + shift_ms for rating in data.history],
        "categories": [list(data.items[rating.item].categories) for rating in data.history],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    pyarrow.parquet.write_table(pa.table(columns), unfinished)
    unfinished.replace(path)
    path.with_suffix(".json").write_text(json.dumps({"ends_before_ms": ends_before_ms, "rows": len(data.history)}))


def _table(raw: bytes) -> pa.Table:
    options = pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False)
    header = raw.split(b"\n", 1)[0].decode().strip().split("\t")
    texts = pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in header})
    return pyarrow.csv.read_csv(io.BytesIO(raw), parse_options=options, convert_options=texts)


def _title(words: str, year: str) -> str:
    """`Godfather, The` is shelved by its noun; people look for `The Godfather (1972)`."""
    head, comma, article = words.rpartition(", ")
    spoken = f"{article} {head}" if comma and article in {"The", "A", "An"} else words
    return f"{spoken} ({year})" if year else spoken


def _new_year_ms(year: str) -> int | None:
    """The beginning of a year; None before 1970, and where it is not known."""
    if not year.isdigit() or int(year) < 1970:
        return None
    return int(datetime(int(year), 1, 1, tzinfo=UTC).timestamp()) * 1000


def _in_sessions(ratings: list[Rating]) -> list[Rating]:
    numbered = []
    by_visitor = sorted(ratings, key=lambda rating: (rating.visitor, rating.at_ms, rating.item))
    for _, sitting in groupby(by_visitor, key=lambda rating: rating.visitor):
        session, before_ms = 0, None
        for rating in sitting:
            if before_ms is not None and rating.at_ms - before_ms > SESSION_GAP_MS:
                session += 1
            before_ms = rating.at_ms
            numbered.append(replace(rating, session=session))
    return numbered
