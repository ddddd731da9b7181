"""Watches this process for connections, and refuses them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

__all__ = ["network_watched"]


@contextmanager
def network_watched() -> Iterator[list[str]]:
    """Refuses connections, datagrams and name look-ups, and collects where they went."""
    attempts: list[str] = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        attempts.append(str(next((each for each in args if isinstance(each, (str, tuple))), "?")))
        raise ConnectionRefusedError("connections are refused while a component is checked")

    outward = dict.fromkeys(("connect", "connect_ex", "sendto"), refuse)
    with patch.multiple(socket.socket, **outward), patch.object(socket, "getaddrinfo", refuse):  # type: ignore[call-overload]
        yield attempts
