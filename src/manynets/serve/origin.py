"""Host and Origin of a request: the checks against web pages that try to reach a server on the user's own machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

WEB_SCHEMES = {"ws": "http", "wss": "https"}
"""The scheme of the page that opens a WebSocket."""


def page_refusal(scope: Mapping[str, Any], *, known: Callable[[str], bool], remedy: str = "") -> tuple[int, str] | None:
    """Return status and message for a request whose Host is not known, or whose Origin is another web page; None for any other.

    scope: that of ASGI. known: returns whether a Host header is the server's own. remedy: the end of the message about an unknown Host.
    """
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"]
    if len(hosts) != 1:
        return 400, "the request must have one Host header"
    if not known(hosts[0]):
        return 421, f"this server does not answer to that Host{remedy}"
    origins = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"origin"]
    scheme = WEB_SCHEMES.get(scope["scheme"], scope["scheme"])
    if origins and origins != [f"{scheme}://{hosts[0]}"]:
        return 403, "requests from other web pages (Origin) are not answered"
    return None


def host_name(host: str) -> str:
    """Return a Host header without its port, in lower case.

    >>> [host_name(host) for host in ("localhost:8000", "[::1]:8000", "Example.org")]
    ['localhost', '::1', 'example.org']
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def host_port(host: str) -> str:
    """Return the port of a Host header, "80" where it names none.

    >>> [host_port(host) for host in ("localhost:8000", "[::1]:8000", "localhost")]
    ['8000', '8000', '80']
    """
    rest = host.partition("]")[2] if host.startswith("[") else host
    return rest.partition(":")[2] or "80"
