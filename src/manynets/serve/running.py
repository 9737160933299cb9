"""Starting the server, with one process or several."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from manynets.errors import OptionError
from manynets.serve.app import SETTINGS
from manynets.serve.settings import ServeSettings

MOST_CONNECTIONS = 2048
END_SECONDS = 30
TRIAL_SECONDS = 0.2


def run(settings: ServeSettings, app: Any) -> None:
    """Serve the application of these settings until a signal ends the process: SIGTERM and Ctrl-C finish the requests that were accepted."""
    import uvicorn

    from manynets.serve.ending import run_server
    from manynets.serve.protocol import PatientProtocol
    from manynets.serve.workers import run_workers

    options: dict[str, Any] = {
        "host": settings.host, "port": settings.port, "limit_concurrency": MOST_CONNECTIONS, "timeout_graceful_shutdown": END_SECONDS,
        "server_header": False, "date_header": False, "access_log": False, "log_level": "error", "http": PatientProtocol,
        "timeout_keep_alive": 30, "ssl_certfile": settings.certificate or None, "ssl_keyfile": settings.key or None, "ws": "none",
    }  # fmt: skip
    if settings.workers == 1:
        run_server(uvicorn.Config(app, **options))
        return
    with tempfile.TemporaryDirectory() as folder:  # where workers share their numbers
        os.environ |= {SETTINGS: settings.to_json(), "PROMETHEUS_MULTIPROC_DIR": folder}
        came = run_workers(settings.workers, options)
    signal.raise_signal(came)


def check_certificate(settings: ServeSettings) -> None:
    """Raise OptionError where the files for TLS cannot be used."""
    if not settings.certificate:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.certificate, settings.key)
    except OSError as error:  # ssl.SSLError is one
        files = f"certificate {settings.certificate!r} and key {settings.key!r}"
        raise OptionError(f"{files} cannot be used for TLS: {error.strerror or error}; give two files in PEM format") from None


def check_port(settings: ServeSettings) -> None:
    """Raise OptionError where the server cannot listen on its address."""
    port_of(settings.host, settings.port, remedy="give another --port or --host")


def port_of(host: str, port: int, *, remedy: str) -> int:
    """Return the port of an address to listen on: for port 0 a free one. Errors: OptionError, which ends in the remedy, where there is none."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            return int(trial.getsockname()[1])
    except OSError as error:
        raise OptionError(f"{host}:{port} cannot be listened on: {error.strerror}; {remedy}") from error


def when_listening(settings: ServeSettings, call: Callable[[], object]) -> None:
    """Call a function, in a thread, as soon as the server of these settings accepts a connection."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)

    def wait() -> None:
        while True:
            try:
                socket.create_connection((host, settings.port), timeout=TRIAL_SECONDS).close()
            except OSError:
                time.sleep(TRIAL_SECONDS)
            else:
                call()
                return

    threading.Thread(target=wait, daemon=True).start()
