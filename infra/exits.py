"""How a command line ends: one line for a person, and an exit code by kind of error (those of sysexits.h)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from schemas.errors import ConfigurationError, ConsistencyError, ContractError, DependencyError, PlatformError

EXIT_CODES: Final[dict[type[PlatformError], int]] = {
    ContractError: 65,
    DependencyError: 69,
    ConsistencyError: 70,
    ConfigurationError: 78,
}
INTERRUPTED: Final = 130


def exit_code(error: PlatformError) -> int:
    """The code of the nearest kind in the table, 1 for none."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 1)


def run_command(main: Callable[[], int]) -> int:
    """Run a command; a platform error becomes one line on standard error and its exit code."""
    try:
        return main()
    except PlatformError as error:
        print(f"firth: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
