"""The numbers that Prometheus reads at /metrics, of one worker or of all together."""

from __future__ import annotations

import os
from typing import Any


class ServeMetrics:
    """Counters of requests, rows and reloads, and a histogram of seconds."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry: Any = CollectorRegistry()
        options: Any = {"registry": self._registry, "namespace": "manynets"}
        self.requests = Counter("requests", "Requests for predictions, by model and status.", ["model", "status"], **options)
        self.rows = Counter("rows", "Rows that were predicted, by model.", ["model"], **options)
        self.reloads = Counter("reloads", "How often a changed model was loaded, by model.", ["model"], **options)
        self.seconds = Histogram("request_seconds", "Seconds from the request to the answer, by model.", ["model"], **options)

    def text(self) -> bytes:
        """Return all numbers in the format of Prometheus."""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess

        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return bytes(generate_latest(self._registry))
        together: Any = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return bytes(generate_latest(together))
