"""`python -m feature_repo apply | yaml`: register the catalogue as the environment says, or print Feast's file.

A composition root: the only module of this package that knows where settings come from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import yaml

from infra.settings import load_settings
from schemas.errors import ConfigurationError, DependencyError


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when done, 2 when the operator must change something, 3 when a server does not answer."""
    parser = argparse.ArgumentParser(prog="python -m feature_repo", description=__doc__)
    parser.add_argument("command", choices=["apply", "yaml"])
    command = parser.parse_args(arguments).command
    from feature_repo.store import (  # after the parsing: Feast takes seconds to import
        close_store,
        configuration,
        register,
    )

    try:
        settings = load_settings()
        if command == "yaml":
            print(yaml.safe_dump(configuration(settings), sort_keys=False), end="")
            return 0
        store = register(settings)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except DependencyError as error:
        print(error, file=sys.stderr)
        return 3
    names = [view.name for view in (*store.list_feature_views(), *store.list_on_demand_feature_views())]
    close_store(store)
    print(f"{len(names)} views registered in {settings.registry_path}: {', '.join(sorted(names))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
