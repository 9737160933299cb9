"""The settings of a server: checked, and as text for its worker processes."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re

from manynets.display import counted
from manynets.errors import OptionError, require_packages

TOKEN = "MANYNETS_TOKEN"
FEWEST_CHARACTERS = 16
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def require_serve() -> None:
    """Raise MissingExtraError where a package of the extra `serve` is missing."""
    require_packages("fastapi", "uvicorn", "prometheus_client", extra="serve", purpose="manynets serve")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0")]
    [True, True, True, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """The models that a server serves, to whom, and within which limits.

    models: paths (run folders, model files or sweeps) by name. token: what a request must send as its bearer token; "" for none, which
    only the loopback allows. allowed_hosts: further names that a Host header may have. max_bytes: the largest body. max_rows: the most rows
    of a request. queue: the most rows that may wait. timeout: seconds for reading a body, and for its answer. certificate, key: files for
    TLS.
    """

    models: dict[str, str]
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    token: str = ""
    allowed_hosts: tuple[str, ...] = ()
    max_bytes: int = 16 << 20
    max_rows: int = 100_000
    queue: int = 200_000
    timeout: float = 30.0
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if not self.models:
            raise OptionError("no model to serve; name a run folder or a model file")
        for name in self.models:
            if not NAME.fullmatch(name):
                raise OptionError(f"{name!r} cannot be the name of a model; use letters, digits, - and _, as in houses=runs/houses")
        for option, value, most in (
            ("port", self.port, 65535), ("workers", self.workers, 256), ("--max-body", self.max_bytes, 1 << 31),
            ("--max-rows", self.max_rows, 1 << 24),
        ):  # fmt: skip
            if not 1 <= value <= most:
                raise OptionError(f"{option} is {value}, but must be from 1 to {most}")
        if not self.timeout > 0:
            raise OptionError(f"timeout is {self.timeout}, but must be above 0 seconds")
        if not is_loopback(self.host) and not self.token:
            raise OptionError(
                f"host is {self.host!r}, which other machines can reach: set a token of at least {FEWEST_CHARACTERS} characters in the"
                f" environment variable {TOKEN}, which requests then send as 'Authorization: Bearer TOKEN'"
            )
        if self.token and len(self.token) < FEWEST_CHARACTERS:
            raise OptionError(f"the token has {counted(len(self.token), 'character')}, but needs at least {FEWEST_CHARACTERS}")
        if not self.token.isascii() or any(sign.isspace() for sign in self.token):
            raise OptionError("the token must consist of ASCII characters without spaces")
        if bool(self.certificate) != bool(self.key):
            raise OptionError("TLS needs both files: --certificate and --key")

    def to_json(self) -> str:
        """Return the settings as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServeSettings:
        """Return the settings of `to_json`."""
        fields = json.loads(text)
        return cls(**{**fields, "allowed_hosts": tuple(fields["allowed_hosts"])})


def token_of_environment() -> str:
    """Return the token in the environment, "" where there is none."""
    return os.environ.get(TOKEN, "")
