"""What the server tells Prometheus.

One worker keeps its figures in memory. Several share them through files (`lastmile.serve.sharing`), so that
any worker answers `/metrics` for all.
"""

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

from lastmile.serve.live import Model
from lastmile.serve.sharing import is_shared

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)


class Metrics:
    """The figures of one server."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "lastmile_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "lastmile_request_seconds", "Seconds from the request's arrival in the application to its "
            "answer.", ["route"], buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self._rows = Counter(
            "lastmile_rows", "Records answered.", ["model", "version"], registry=registry
        )
        self._version = Gauge(
            "lastmile_model_version", "Version of the model that answers now.", ["model"],
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self._release = Gauge(
            "lastmile_model_release", "Release of the model that answers now.", ["model"],
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        # Looking a labelled figure up costs more than raising it; there are few of them.
        self._requests_of = lru_cache(maxsize=1024)(self._requests.labels)
        self._seconds_of = lru_cache(maxsize=1024)(self._seconds.labels)
        self._rows_of = lru_cache(maxsize=64)(self._rows.labels)
        if not is_shared():
            ProcessCollector(registry=registry)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Note one answer."""
        self._requests_of(route, status).inc()
        self._seconds_of(route).observe(seconds)

    def count_rows(self, model: Model, rows: int) -> None:
        """Note records answered."""
        self._rows_of(model.name, model.version).inc(rows)

    def note_model(self, model: Model) -> None:
        """Note which model answers now."""
        self._version.labels(model.name).set(model.version)
        self._release.labels(model.name).set(model.pointer.release)

    def render(self) -> bytes:
        """Return all figures in Prometheus' text form."""
        registry = self._registry
        if is_shared():
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
