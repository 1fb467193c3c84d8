"""A pid alone is reused; a pid with its start time is not."""

import os
import subprocess
import sys

from infra.processes.identity import START_TOLERANCE_MS, ProcessIdentity, kill_session, session_members

HOUR_MS = 3_600_000


def test_this_process_is_itself() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me.is_running()


def test_a_process_with_the_same_pid_that_started_at_another_time_is_another() -> None:
    me = ProcessIdentity.of(os.getpid())
    predecessor = ProcessIdentity(me.pid, me.started_at_ms - HOUR_MS)
    assert not predecessor.is_running()


def test_a_start_time_is_known_to_about_a_second() -> None:
    identity = ProcessIdentity(1, started_at_ms=HOUR_MS)
    assert identity.matches(HOUR_MS + START_TOLERANCE_MS)
    assert not identity.matches(HOUR_MS + START_TOLERANCE_MS + 1)


def test_a_pid_that_nobody_has_is_not_running_and_has_no_session() -> None:
    nobody = ProcessIdentity(2**22 + 1, started_at_ms=0)
    assert not nobody.is_running()
    assert list(session_members(nobody)) == []


def test_the_session_of_a_leader_that_was_replaced_is_empty() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        start_new_session=True,  # as the supervisor does; the session of this test may be led from outside a container
    ) as process:
        leader = ProcessIdentity.of(process.pid)
        predecessor = ProcessIdentity(leader.pid, leader.started_at_ms - HOUR_MS)
        assert [member.pid for member in session_members(leader)] == [process.pid]
        assert list(session_members(predecessor)) == []
        kill_session(leader)
