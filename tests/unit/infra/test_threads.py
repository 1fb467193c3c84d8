"""Threads that wait must leave their core to others, and the operator has the last word."""

from __future__ import annotations

import os

import pytest

from infra.threads import VARIABLE, wait_without_spinning


def test_threads_do_not_spin_unless_the_operator_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    wait_without_spinning()
    assert os.environ[VARIABLE] == "passive"
    monkeypatch.setenv(VARIABLE, "active")
    wait_without_spinning()
    assert os.environ[VARIABLE] == "active"
