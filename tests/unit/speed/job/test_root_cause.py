from __future__ import annotations

from speed.job.__main__ import root_cause


def test_the_innermost_cause_is_told_on_one_line() -> None:
    trace = "JobFailed: x\n\tat a.B\nCaused by: outer: y\n\tat c.D\nCaused by: inner: z\n\tat e.F\n\t... 19 more"
    assert root_cause(trace) == "inner: z"


def test_a_trace_without_causes_is_its_own() -> None:
    assert root_cause("JobFailed: x") == "JobFailed: x"
    assert root_cause("") == "no cause was given"
