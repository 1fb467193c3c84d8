"""The error tree of the platform: every error carries its facts and says what to do next.

`ContractError`       someone sent what the contract forbids  -> dead letter, 422 or quarantine
`DependencyError`     the world did not answer in time        -> bounded retry, degrade or 503
`ConsistencyError`    our own pieces disagree                 -> stop and page a person
`ConfigurationError`  the operator must act                   -> exit at start, naming the variable
"""

from __future__ import annotations

from enum import StrEnum


class PlatformError(Exception):
    """The root of every error that Firth raises on purpose."""


class ContractError(PlatformError):
    """Someone sent what the contract forbids."""


class DependencyError(PlatformError):
    """Another process did not answer in time or answered with a failure.

    Args:
        dependency: what was asked, with its address, for example ``redis 127.0.0.1:16379``.
        problem: what happened.
        remedy: what the operator can do next.
    """

    def __init__(self, dependency: str, problem: str, remedy: str) -> None:
        self.dependency = dependency
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{dependency}: {problem}; {remedy}")


class ConsistencyError(PlatformError):
    """Two of our own pieces disagree: going on would publish wrong numbers."""


class ConfigurationError(PlatformError):
    """The operator must change a setting before the process can start.

    Args:
        setting: the environment variable or file to change.
        problem: what is wrong with its value.
        remedy: what to set instead.
    """

    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        self.setting = setting
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{setting}: {problem}; {remedy}")


class Reason(StrEnum):
    """Why an event was refused: a closed set, shared by HTTP verdicts and dead letters."""

    MALFORMED = "malformed"  # not a JSON object
    CONTRACT = "contract"  # a field breaks the contract
    KEY = "key"  # the Kafka key is not the event's visitor
    FUTURE = "future"  # happened later than it was received, beyond the tolerance
    FLOOD = "flood"  # more admitted interactions of one visitor in one bucket than allowed
    OVERSIZE = "oversize"  # more bytes than an event may have


class RejectedEvent(ContractError):
    """One event breaks the contract.

    Args:
        reason: member of the closed set.
        field: path of the offending field, empty when it is the whole event.
        detail: what is wrong, in words for the producer.
    """

    def __init__(self, reason: Reason, field: str, detail: str) -> None:
        self.reason = reason
        self.field = field
        self.detail = detail
        where = f" at {field}" if field else ""
        super().__init__(f"{reason}{where}: {detail}")
