"""The command line: what it understands and how it ends."""

import pytest

from infra.__main__ import parser
from infra.exits import exit_code, run_command
from schemas.errors import ConfigurationError, ConsistencyError, DependencyError, Reason, RejectedEvent


def test_up_takes_a_part_of_the_services() -> None:
    options = parser().parse_args(["up", "--only", "kafka, redis,"])
    assert options.only == ("kafka", "redis")
    assert not options.free_ports


def test_the_log_of_an_unknown_service_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["logs", "zookeeper"])
    assert "zookeeper" in capsys.readouterr().err


def test_each_kind_of_error_has_its_exit_code() -> None:
    assert exit_code(RejectedEvent(Reason.KEY, "visitor_id", "is not the key")) == 65
    assert exit_code(DependencyError("redis", "is away", "start it")) == 69
    assert exit_code(ConsistencyError("two pieces disagree")) == 70
    assert exit_code(ConfigurationError("FIRTH_X", "is wrong", "correct it")) == 78


def test_an_error_is_one_line_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise ConfigurationError("FIRTH_REDIS__PORT", "port 1 is in use", "choose another")

    assert run_command(main) == 78
    assert capsys.readouterr().err == "firth: FIRTH_REDIS__PORT: port 1 is in use; choose another\n"
