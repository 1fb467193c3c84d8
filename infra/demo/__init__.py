"""The demo and the smoke test: the whole system on real data. Imports `domain`, `schemas` and `infra`; talks HTTP."""
