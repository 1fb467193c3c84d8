"""What `python -m batch` takes and refuses, before anything is read or started."""

from __future__ import annotations

import pytest

from batch.__main__ import COMMANDS, parser


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser().parse_args([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: python -m batch {command}")


@pytest.mark.parametrize(
    "typed",
    [
        "training-set --out somewhere --buckets 0",
        "training-set --out somewhere --sample -1",
        "training-set --out somewhere --until yesterday",
        "training-set",
        "evaluate --k 0",
        "evaluate --queries none",
        "evaluate --minutes -1",
        "evaluate --minutes nan",
        "parity --every -1",
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(typed.split())
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith(f"python -m batch {typed.split()[0]}: error: ")
