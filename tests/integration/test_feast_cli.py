"""The stock Feast CLI, run from `feature_repo/` as a data engineer runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from redis import Redis

from domain.merge import session_cells
from feature_repo.__main__ import main
from feature_repo.layout import EntityKeys
from feature_repo.store import REPOSITORY, configuration
from feature_repo.views import MERGED_VIEWS, REQUEST_CONTEXT, STORED_VIEWS, VISITOR_RECENT, VISITOR_SESSION
from infra.settings import CassandraSettings, RedisSettings, Settings
from tests.integration.feast_rows import FEAST, TIMEOUT_S, environment, run
from tests.rows import POLICIES, recent_cells, visitor_row
from tests.servers import instance_in
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def applied(
    module_settings: Settings, redis_server: RedisSettings, cassandra: CassandraSettings
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """`feature_store.yaml` for this module's servers, and what the first `feast apply` said."""
    file = module_settings.state_dir / "feature_store.yaml"
    file.write_text(yaml.safe_dump(configuration(module_settings)))
    return file, run(module_settings, FEAST, "-f", file, "apply")


def test_apply_registers_every_view_without_a_warning(
    applied: tuple[Path, subprocess.CompletedProcess[str]], module_settings: Settings
) -> None:
    file, first = applied
    assert first.returncode == 0, first.stderr
    assert "warn" not in (first.stdout + first.stderr).lower()
    listed = run(module_settings, FEAST, "-f", file, "feature-views", "list")
    assert listed.returncode == 0, listed.stderr
    names = {line.split()[0] for line in listed.stdout.splitlines()[1:]}
    assert names == {REQUEST_CONTEXT, *(view.name for view in (*STORED_VIEWS, *MERGED_VIEWS))}


def test_get_online_features_shows_the_session_and_the_merged_profile(
    applied: tuple[Path, subprocess.CompletedProcess[str]], module_settings: Settings
) -> None:
    row = visitor_row(days=(1, 2))
    session = session_cells(row, POLICIES)
    assert session is not None
    cells = [(VISITOR_SESSION, session), (VISITOR_RECENT, recent_cells("visitor", row))]
    with Redis(module_settings.redis.host, module_settings.redis.port) as redis:
        for view, row_cells in cells:
            key = EntityKeys(module_settings.feast.project, view.join_key).key("ada")
            redis.hset(key, items=view.layout().encode(row_cells, 1))
    finished = ("interactions", "kinds_keys", "kinds_7d_values", "rating_mean", "seen_items_items", "incomplete")
    wanted = ("visitor_session:session_length", *(f"visitor_profile:{name}" for name in finished))
    options = [option for name in wanted for option in ("-f", name)]
    answer = run(module_settings, FEAST, "-f", applied[0], "get-online-features", "-e", "visitor_id=ada", *options)
    assert answer.returncode == 0, answer.stderr
    assert yaml.safe_load(answer.stdout) == {
        "visitor_id": ["ada"],
        "session_length": [session["session_length"]],
        "interactions": [6],
        "kinds_keys": [["cart", "purchase", "view"]],
        "kinds_7d_values": [[2, 2, 2]],
        "rating_mean": [None],
        "seen_items_items": [["item-0", "item-1", "item-2"]],
        "incomplete": [[]],
    }


def test_the_ui_answers(applied: tuple[Path, subprocess.CompletedProcess[str]], module_settings: Settings) -> None:
    port = free_port()
    command = [str(FEAST), "-f", str(applied[0]), "ui", "--host", "127.0.0.1", "--port", str(port)]
    variables = os.environ | environment(module_settings)
    log = module_settings.state_dir / "ui.log"
    with log.open("w") as output:
        ui = subprocess.Popen(
            command, cwd=REPOSITORY, env=variables, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(
            lambda: status_of(f"http://127.0.0.1:{port}/") == 200 or ui.poll() is not None, TIMEOUT_S, "feast ui"
        )
        assert ui.poll() is None, log.read_text()
    finally:
        if ui.poll() is None:
            os.killpg(ui.pid, signal.SIGTERM)
        ui.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def status_of(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_applying_without_cassandra_ends_with_one_line_that_names_it(
    settings: Settings, redis_server: RedisSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = instance_in(settings.state_dir).cassandra
    for variable, value in environment(settings.model_copy(update={"cassandra": absent})).items():
        monkeypatch.setenv(variable, value)
    assert main(["apply"]) == 3
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert f"cassandra 127.0.0.1:{absent.port}" in said


def test_the_committed_file_is_the_configuration_of_a_laptop() -> None:
    committed = yaml.safe_load((REPOSITORY / "feature_store.yaml").read_text())
    expected = configuration(Settings())
    assert (REPOSITORY / committed["registry"]["path"]).resolve() == Path(expected["registry"]["path"])
    committed["registry"]["path"] = expected["registry"]["path"]
    assert committed == expected


def test_the_printed_file_is_for_the_servers_of_the_environment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in environment(settings).items():
        monkeypatch.setenv(variable, value)
    assert main(["yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == configuration(settings)
