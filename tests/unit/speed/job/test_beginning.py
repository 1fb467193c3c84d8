from __future__ import annotations

from pathlib import Path

from speed.job.beginning import FILE, offsets_before, recall, remember
from speed.job.settings import JobSettings, LogRange, TopicNames
from speed.job.start import Start


def settings_in(folder: Path, replay: LogRange | None = None) -> JobSettings:
    return JobSettings(
        bootstrap="127.0.0.1:9092",
        topics=TopicNames("interactions", "visitor-states", "item-states", "dead-letters"),
        checkpoint_dir=str(folder),
        rest_port=8081,
        jars=("/jars/a.jar",),
        replay=replay,
    )


def test_a_job_that_resumes_knows_where_it_once_began(tmp_path: Path) -> None:
    remember(tmp_path / "checkpoints", {0: 11, 3: 7})
    settings = settings_in(tmp_path / "checkpoints")
    assert offsets_before(settings, Start(state=tmp_path / "chk-1", at_ms=None)) == {0: 11, 3: 7}


def test_a_state_that_does_not_tell_where_it_began_includes_only_what_it_heard(tmp_path: Path) -> None:
    assert recall(tmp_path / "never") == {}
    (tmp_path / FILE).write_text("{")
    assert recall(tmp_path) == {}


def test_a_replay_includes_nothing_but_its_part_of_the_log(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, LogRange({0: 5}, {0: 9}))
    assert offsets_before(settings, Start(state=None, at_ms=0)) == {}
