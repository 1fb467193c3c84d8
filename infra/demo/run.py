"""`python -m infra demo` and `python -m infra smoke`: one story, told to a person or to a machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import time
from dataclasses import replace
from typing import Any, Final

from domain.artifacts import Artifact
from infra.demo.baselines import BatchOnly, Popularity
from infra.demo.client import Client
from infra.demo.live import LiveTraffic
from infra.demo.measures import Measures
from infra.demo.movielens import MovieLens, Rating
from infra.demo.steps import Steps
from infra.processes.ports import choose_free_ports
from infra.settings import PREFIX, PROJECT_ROOT, Settings, load_settings
from schemas.errors import ConsistencyError, DependencyError, PlatformError

READY_DEADLINE_S: Final = 120.0


def demo(arguments: list[str]) -> int:
    """Bring everything up, stream the live traffic, leave it running."""
    parser = argparse.ArgumentParser(prog="python -m infra demo", description=demo.__doc__)
    parser.add_argument("--rate", type=float, default=60.0, help="events per second at most (default 60)")
    parser.add_argument("--events", type=int, default=None, help="events to stream (default: all that are left)")
    options = parser.parse_args(arguments)
    settings = keyed(load_settings())
    steps = Steps(settings, _say)
    started = time.monotonic()
    data, artifact = _bring_up(steps, settings)
    _say(f"first slate after {time.monotonic() - started:.0f} s; open {_url(settings)} and click")
    _say(f"runs and models: http://{settings.mlflow.host}:{settings.mlflow.port}")
    sent = _position(steps)
    ratings = _next_ratings(data, sent, options.events)
    _say(f"streaming {len(ratings)} ratings as live traffic; Ctrl-C stops the traffic, not the platform")
    measures = asyncio.run(_stream(settings, data, artifact, ratings, options.rate, sent, steps))
    _say(measures.line())
    _say(f"the platform goes on at {_url(settings)}; `make down` stops it, `make demo` streams on")
    return 0


def smoke(arguments: list[str]) -> int:
    """The demo in a state folder of its own, on free ports, in a bounded time; the last line is JSON."""
    parser = argparse.ArgumentParser(prog="python -m infra smoke", description=smoke.__doc__)
    parser.add_argument("--events", type=int, default=1_500, help="events to stream (default 1,500)")
    parser.add_argument("--rate", type=float, default=60.0, help="events per second at most (default 60)")
    parser.add_argument("--sample", type=int, default=200, help="keys of each entity that parity compares")
    options = parser.parse_args(arguments)
    folder = PROJECT_ROOT / ".firth" / "smoke"
    shutil.rmtree(folder, ignore_errors=True)
    own = {
        "FIRTH_STATE_DIR": str(folder),
        "FIRTH_PARITY__EVERY_S": "0",  # it is asked for once, at the end
        "FIRTH_SCHEDULE__DAILY_AT": "never",
    }
    os.environ.update(choose_free_ports(random.Random()) | own)
    settings = keyed(load_settings())
    steps = Steps(settings, _say)
    try:
        report = _smoke(steps, settings, options)
    except PlatformError as error:
        report = {"ok": False, "error": str(error), "steps_s": steps.seconds}
    finally:
        steps.stop_services()
    print(json.dumps(report), flush=True)
    return 0 if report["ok"] else 1


def keyed(settings: Settings) -> Settings:
    """The settings with keys asked for, and a local one for the page and the traffic; what is started gets them too."""
    path = str(settings.state_dir / "demo" / "key")
    os.environ.update(
        {f"{PREFIX}SERVING__ACCESS__REQUIRE_KEYS": "true", f"{PREFIX}SERVING__ACCESS__PAGE_KEY_FILE": path}
    )
    return load_settings()


def _smoke(steps: Steps, settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    started = time.monotonic()
    data, artifact = _bring_up(steps, settings)
    first_slate_s = round(time.monotonic() - started, 1)
    ratings = data.live[: options.events]
    measures = asyncio.run(_stream(settings, data, artifact, ratings, options.rate, 0, steps))
    _say(measures.line())
    parity = steps.check_parity(options.sample)
    latency = measures.latency()
    complaints = [
        *(["no click changed a slate"] if not latency["n"] else []),
        *([f"{measures.failures} requests failed or clicks stayed unseen"] if measures.failures else []),
        *([f"{measures.rejected} events were rejected"] if measures.rejected else []),
        *([f"parity: {parity}"] if parity.get("mismatches") != 0 or not parity.get("rows") else []),
    ]
    return {
        "ok": not complaints,
        "setup_s": _setup_seconds(),
        "first_slate_s": first_slate_s,
        "events": measures.events,
        "first_click_ms": measures.first_click_ms,
        "click_to_slate_ms": latency,
        "parity": {name: parity.get(name) for name in ("rows", "fields", "mismatches", "unsettled")},
        "hr20": measures.ours.hr,
        "mrr20": measures.ours.mrr,
        "popularity_hr20": measures.popularity.hr,
        "batch_only_hr20": measures.batch_only.hr,
        "degraded": measures.degraded,
        "steps_s": steps.seconds,
        "complaints": complaints,
    }


def _bring_up(steps: Steps, settings: Settings) -> tuple[MovieLens, Artifact]:
    """From nothing, or from where the last run stopped, to a slate by today's model."""
    data = steps.read_data()
    steps.make_key()
    steps.start_services()
    steps.import_history(data)
    asyncio.run(_publish_items(settings, data))
    daily = steps.run_daily()
    artifact = Artifact.current(settings.artifacts_dir)
    if artifact is None:
        raise ConsistencyError("the daily run left no current artifact: see its lines above")
    _say(f"model {artifact.version}: offline {daily.get('hr20')} HR@20, popularity {daily.get('popularity_hr20')}")
    asyncio.run(_wait_for_model(settings, artifact.version))
    return data, artifact


async def _publish_items(settings: Settings, data: MovieLens) -> None:
    client = _client(settings)
    try:
        await client.put_items(list(data.items.values()))
    finally:
        await client.close()


async def _wait_for_model(settings: Settings, version: str) -> None:
    """Until a slate names the version that was just published."""
    client, until = _client(settings), time.monotonic() + READY_DEADLINE_S
    try:
        while time.monotonic() < until:
            slate = await client.recommend("nobody")
            if slate.model_version == version and slate.items:
                return
            await asyncio.sleep(0.2)
    finally:
        await client.close()
    raise DependencyError(_url(settings), f"no slate by model {version}", "see `python -m infra logs serving`")


async def _stream(
    settings: Settings,
    data: MovieLens,
    artifact: Artifact,
    ratings: list[Rating],
    rate: float,
    sent: int,
    steps: Steps,
) -> Measures:
    popularity = Popularity([*data.history, *data.live[:sent]])
    client = _client(settings)
    traffic = LiveTraffic(client, data, popularity, BatchOnly(artifact, data.history, popularity))
    try:
        await traffic.run(ratings, rate=rate, tell=_say)
    except (asyncio.CancelledError, KeyboardInterrupt):
        _say("traffic stopped")
    finally:
        _keep_position(steps, sent + traffic.measures.events)
        await client.close()
    return traffic.measures


def _position(steps: Steps) -> int:
    """How many live ratings earlier runs have sent."""
    path = steps.folder / "position"
    return int(path.read_text()) if path.exists() else 0


def _next_ratings(data: MovieLens, sent: int, count: int | None) -> list[Rating]:
    """What follows; once the log is through it starts over with new visitors, for whom every item is new again."""
    lap, start = divmod(sent, len(data.live))
    ratings = data.live[start : start + count if count else None]
    return [replace(rating, visitor=f"{rating.visitor}~{lap}") for rating in ratings] if lap else ratings


def _keep_position(steps: Steps, sent: int) -> None:
    steps.folder.mkdir(parents=True, exist_ok=True)
    (steps.folder / "position").write_text(str(sent))


def _setup_seconds() -> float | None:
    """How long the last set-up that had work to do took, as `make setup` noted."""
    path = PROJECT_ROOT / ".firth" / "setup" / "seconds"
    return float(path.read_text()) if path.exists() else None


def _url(settings: Settings) -> str:
    return f"http://{settings.serving.host}:{settings.serving.port}"


def _client(settings: Settings) -> Client:
    key_file = settings.serving.access.page_key_file
    return Client(_url(settings), key_file.read_text() if key_file else None)


def _say(line: str) -> None:
    print(line, flush=True)
