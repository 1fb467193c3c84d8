"""Whether anybody listens at an address: cheaper and quieter than a driver that tries, fails and leaks its sockets."""

from __future__ import annotations

import socket

TIMEOUT_S = 1.0


def is_listening(host: str, port: int) -> bool:
    """Whether a connection is accepted. Blocks for up to a second: for threads only."""
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except OSError:
        return False
    return True
