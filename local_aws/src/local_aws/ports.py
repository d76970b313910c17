"""Free TCP ports on this machine, for servers that must be told theirs."""

from __future__ import annotations

import socket


def find_free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
