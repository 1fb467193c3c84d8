"""Strictness that holds in every tier, and in both Python environments."""

import logging
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # see `infra.threads`, which the speed environment need not have

pytest_plugins = ("tests.servers",)  # the real servers of integration tests, suites and end-to-end tests

# On shared cores a slow example is no failure. All else is Hypothesis's own profile, which in CI is a fixed seed.
settings.register_profile("firth", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("firth")


@pytest.fixture(autouse=True)
def _logs_go_where_they_went() -> Iterator[None]:
    """A command that a test runs in this process sends all logs to that test's standard error, which is then closed."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure: an absent server must be seen."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"a test must not skip: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failure, for the same reason."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"a module must not skip: {report.longrepr}"
    return report
