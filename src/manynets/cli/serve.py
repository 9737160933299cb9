"""`manynets serve`: an HTTP server for trained models."""

from __future__ import annotations

import functools
import os
import re
from typing import Annotated

from manynets.cli.arguments import Quiet, argument, option
from manynets.cli.report import console_for
from manynets.cli.saved_runs import open_run
from manynets.errors import OptionError


def serve(
    runs: Annotated[
        list[str], argument("RUN...", help="Run folders, model files or sweeps; NAME=RUN to serve one under another name.")
    ],
    host: Annotated[str, option(metavar="ADDRESS", help="Address to listen on. [127.0.0.1]")] = "127.0.0.1",
    port: Annotated[int, option(metavar="N", help="Port to listen on. [8000]")] = 8000,
    workers: Annotated[int, option(metavar="N", help="Processes that serve. [1]")] = 1,
    allowed_host: Annotated[
        list[str] | None,
        option(metavar="NAME", help="A name by which the server is reached, in addition to that of --host; may be repeated."),
    ] = None,
    max_rows: Annotated[int, option(metavar="N", help="Most rows that a request may have. [100000]")] = 100_000,
    max_body: Annotated[int, option(metavar="BYTES", help="Most bytes that a request may have. [16777216]")] = 16 << 20,
    timeout: Annotated[
        float, option(metavar="SECONDS", help="Time that a request may take to arrive, and its answer to be made. [30]")
    ] = 30.0,
    certificate: Annotated[str, option(metavar="FILE", help="TLS certificate (PEM).")] = "",
    key: Annotated[str, option(metavar="FILE", help="Key of the TLS certificate (PEM).")] = "",
    quiet: Quiet = False,
) -> None:
    """Serve models over HTTP: POST /v1/models/NAME:predict, a form at /, the API at /docs.

    \b
    manynets serve runs/houses-1
    manynets serve price=runs/houses-1 kind=runs/kinds-1 --port 9000

    Only this machine can reach the server, unless --host says otherwise; then a token is required, from the environment variable
    MANYNETS_TOKEN. A run that changes on disk is loaded again.
    """
    from manynets.serve import ServeSettings, require_serve

    require_serve()
    from manynets.serve.app import create_app
    from manynets.serve.running import check_certificate, check_port, run, when_listening
    from manynets.serve.settings import token_of_environment

    console = console_for(quiet=quiet)
    given = _named(runs)
    settings = ServeSettings(
        models={name: os.path.abspath(path) for name, path in given.items()},
        host=host, port=port, workers=workers, token=token_of_environment(), allowed_hosts=tuple(allowed_host or ()),
        max_rows=max_rows, max_bytes=max_body, timeout=timeout, certificate=certificate, key=key,
    )  # fmt: skip
    check_certificate(settings)
    check_port(settings)
    for path in given.values():
        if not os.path.exists(path):
            open_run(path)  # which says so as the other commands do
    app = create_app(settings)
    scheme, shown = ("https" if certificate else "http"), f"[{host}]" if ":" in host else host
    names = ", ".join(settings.models)
    text = f"Serving {names} at {scheme}://{shown}:{port} (Ctrl-C ends it)"
    say = functools.partial(console.print, text)
    if workers == 1:
        say()
    else:  # which first load the models
        when_listening(settings, say)
    run(settings, app)


def _named(runs: list[str]) -> dict[str, str]:
    """Return the paths by name. Errors: OptionError for a name that occurs twice."""
    found: dict[str, str] = {}
    for text in runs:
        name, sign, path = text.partition("=")
        if not sign or os.path.exists(text):
            path = text
            stem = os.path.basename(os.path.realpath(path)).removesuffix(".safetensors")
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.") or "model"
        if name in found:
            raise OptionError(f"two models are called {name!r}; name one of them, as in other={path}")
        found[name] = path
    return found
