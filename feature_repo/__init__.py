"""Feast: the registry's objects, the routed online store, its rows' bytes. Imports `domain` and `schemas` only."""
