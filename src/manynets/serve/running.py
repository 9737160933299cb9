"""Start the server, with one process or several, and end it without losing an accepted request."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import Any

from manynets.errors import OptionError
from manynets.serve.app import SETTINGS
from manynets.serve.settings import ServeSettings

__all__ = ["check_port", "run"]

PROTOCOL = "manynets.serve.protocol:PatientProtocol"
MOST_CONNECTIONS = 2048
END_SECONDS = 30


def run(settings: ServeSettings, app: Any) -> None:
    """Serve the application of these settings until a signal ends the process: SIGTERM and Ctrl-C finish the requests that were accepted."""
    import uvicorn

    options: dict[str, Any] = {
        "host": settings.host, "port": settings.port, "limit_concurrency": MOST_CONNECTIONS, "timeout_graceful_shutdown": END_SECONDS,
        "server_header": False, "date_header": False, "access_log": False, "log_level": "error", "http": PROTOCOL,
        "timeout_keep_alive": 30, "ssl_certfile": settings.certificate or None, "ssl_keyfile": settings.key or None, "ws": "none",
    }  # fmt: skip
    if settings.workers == 1:
        uvicorn.run(app, **options)
        return
    with tempfile.TemporaryDirectory() as folder:  # where workers share their numbers
        os.environ |= {SETTINGS: settings.to_json(), "PROMETHEUS_MULTIPROC_DIR": folder}
        uvicorn.run("manynets.serve.app:from_environment", factory=True, workers=settings.workers, **options)


def check_port(settings: ServeSettings) -> None:
    """Raise OptionError where the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((settings.host, settings.port))
    except OSError as error:
        raise OptionError(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}; give another --port or --host"
        ) from error
