"""What is wrong with a filter: where, what, and what to write instead."""

from __future__ import annotations

from schemas.errors import ContractError


class FilterError(ContractError):
    """A filter is no sentence of the language, or larger than allowed.

    Args:
        position: the first character that is wrong, counted from 1.
        problem: what is wrong there.
        remedy: what to write instead.
    """

    def __init__(self, position: int, problem: str, remedy: str) -> None:
        self.position = position
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"character {position}: {problem}; {remedy}")
