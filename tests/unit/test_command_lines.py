"""Every program explains itself when it is asked to, and does nothing else."""

from __future__ import annotations

import importlib

import pytest

from infra.settings import PROJECT_ROOT

PACKAGES = ("schemas", "domain", "feature_repo", "infra", "batch", "speed", "serving", "tests")
PROGRAMS = sorted(
    ".".join(path.relative_to(PROJECT_ROOT).parent.parts)
    for package in PACKAGES
    for path in (PROJECT_ROOT / package).rglob("__main__.py")
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_is_asked_for_help_prints_it_and_ends(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [program, "--help"])
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(f"{program}.__main__").main()
    assert capsys.readouterr().out.startswith(f"usage: python -m {program}")
