"""What /metrics counts, in Prometheus' format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Measures:
    """Counters of one server; a registry of their own, so that several servers fit into one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "crossrec_requests", "Answers", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "crossrec_request_seconds",
            "Seconds from request to answer",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "crossrec_batch_size", "Histories scored in one call", buckets=SIZES, registry=self.registry
        )
        self.batch_seconds = Histogram(
            "crossrec_batch_seconds", "Seconds of one call", buckets=SECONDS, registry=self.registry
        )
        self.waiting = Gauge(
            "crossrec_waiting", "Recommendation requests that wait for a batch", registry=self.registry
        )
        self.items = Gauge("crossrec_items", "Items in the catalogue", registry=self.registry)
        self.new_items = Counter("crossrec_new_items", "Items added since the start", registry=self.registry)
        self.feedback = Counter("crossrec_feedback", "Thumbs", ("vote",), registry=self.registry)
        self.index_recall = Gauge(
            "crossrec_index_recall",
            "Share of the exact lists that the FAISS index finds; 1 without an index",
            registry=self.registry,
        )
        self.index_recall.set(1)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
