"""An alert that cannot fire, or that leaves whom it wakes alone, is worse than none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from infra.monitoring.boards import BOARDS
from infra.monitoring.grafana_json import FOLDER, rendered
from infra.settings import PROJECT_ROOT, Settings
from tests.monitored import faults

MONITORING = PROJECT_ROOT / "infra" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
RUNBOOK = PROJECT_ROOT / "docs" / "runbook.md"


def rules() -> list[dict[str, Any]]:
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDED = frozenset(rule["record"] for rule in rules() if "record" in rule)


def promtool(*arguments: str | Path) -> None:
    """Run it; what it says is the message of a failure."""
    path = os.pathsep.join((os.environ["PATH"], str(PROJECT_ROOT / ".firth" / "tools")))
    found = shutil.which("promtool", path=path)
    assert found, "there is no promtool: run infra/monitoring/promtool.sh"
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", *RULES)
    for name in ("prometheus.yml", "prometheus-compose.yml"):
        promtool("check", "config", MONITORING / name)


def test_each_alert_fires_when_it_should_and_at_no_other_time() -> None:
    promtool("test", "rules", *sorted((MONITORING / "rules" / "tests").glob("*.yml")))


def test_each_alert_has_a_test_in_which_it_fires() -> None:
    fired = set()
    for path in (MONITORING / "rules" / "tests").glob("*.yml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            fired |= {case["alertname"] for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert {alert["alert"] for alert in ALERTS} - fired == set()


def test_rules_ask_only_for_what_is_shown() -> None:
    assert {rule["expr"]: found for rule in rules() if (found := list(faults(rule["expr"], RECORDED)))} == {}


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    headings = anchors(RUNBOOK)
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("page", "ticket"), alert
        assert alert["annotations"]["summary"], alert
        assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#alert-{alert['alert'].lower()}"
        assert f"alert-{alert['alert'].lower()}" in headings


def test_no_heading_of_the_runbook_is_of_an_alert_that_is_no_more() -> None:
    told = {anchor for anchor in anchors(RUNBOOK) if anchor.startswith("alert-")}
    assert told == {f"alert-{alert['alert'].lower()}" for alert in ALERTS}


def test_boards_ask_only_for_what_is_shown(tmp_path: Path) -> None:
    asked = {query.expression for board in BOARDS for panel in board.panels for query in panel.queries}
    assert {each: found for each in asked if (found := list(faults(each, RECORDED)))} == {}
    parsed = [{"record": f"parsed:query{number}", "expr": each} for number, each in enumerate(sorted(asked))]
    path = tmp_path / "boards.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": parsed}]}))
    promtool("check", "rules", path)


def test_the_committed_boards_are_the_described_ones() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == rendered()


def test_what_nobody_shows_is_found() -> None:
    assert list(faults("sum by (le) (rate(firth_writer_freshness_seconds_bucket[5m])) > 1 and up", RECORDED)) == []
    assert list(faults("rate(firth_serving_request_total[5m])", RECORDED)) == [
        "there is no metric firth_serving_request_total"
    ]
    assert list(faults('firth_serving_requests_total{route="slates"}', RECORDED)) == [
        "firth_serving_requests_total has no route=slates"
    ]


def targets(name: str) -> dict[str, str]:
    jobs = yaml.safe_load((MONITORING / name).read_text())["scrape_configs"]
    return {job["job_name"]: job["static_configs"][0]["targets"][0] for job in jobs}


def test_prometheus_scrapes_the_ports_of_the_settings() -> None:
    settings = Settings()
    ports = {name: getattr(settings.metrics, f"{name}_port") for name in ("writer", "archiver", "parity", "daily")}
    expected = {"serving": settings.serving.port, **ports, "flink": 19_105}
    assert targets("prometheus.yml") == {name: f"127.0.0.1:{port}" for name, port in expected.items()}


def test_in_containers_prometheus_scrapes_the_same_ports_of_the_services() -> None:
    services = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]
    alone, composed = targets("prometheus.yml"), targets("prometheus-compose.yml")
    assert {target.split(":")[0] for target in composed.values()} <= services.keys()
    assert {name: target.split(":")[1] for name, target in composed.items()} == {
        name: target.split(":")[1] for name, target in alone.items()
    }
