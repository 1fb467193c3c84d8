"""`python -m infra boards`: write the boards as Grafana reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from infra.monitoring.boards import BOARDS, Board, Panel
from schemas.errors import ConfigurationError

FOLDER: Final = Path(__file__).parent / "grafana"
DATASOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
"""As `datasources.yml` names it."""

SCHEMA_VERSION: Final = 39
WIDTH, HEIGHT = 12, 8
"""Of a panel, on Grafana's grid of 24 columns."""


def main(arguments: list[str]) -> int:
    """Write every board; 0."""
    if arguments:
        raise ConfigurationError("boards", f"takes no arguments, not {arguments}", "call it alone")
    for name, text in rendered().items():
        (FOLDER / name).write_text(text)
    return 0


def rendered() -> dict[str, str]:
    """The text of each file."""
    return {f"{board.name}.json": json.dumps(_board(board), indent=1) + "\n" for board in BOARDS}


def _board(board: Board) -> dict[str, Any]:
    return {
        "uid": f"firth-{board.name}",
        "title": board.title,
        "tags": ["firth"],
        "timezone": "utc",
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["firth"], "title": "Firth", "asDropdown": False}],
        "panels": [_panel(panel, place) for place, panel in enumerate(board.panels)],
    }


def _panel(panel: Panel, place: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.limit is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.limit}]
        defaults |= {
            "thresholds": {"mode": "absolute", "steps": steps},
            "custom": {"thresholdsStyle": {"mode": "line"}},
        }
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.explained,
        "datasource": DATASOURCE,
        "gridPos": {"x": place % 2 * WIDTH, "y": place // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query.expression, "legendFormat": query.legend}
            for number, query in enumerate(panel.queries)
        ],
    }
