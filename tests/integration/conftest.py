"""Integration tests use the real servers of `tests/servers.py`, the plugin that `tests/conftest.py` names."""
