"""Prometheus metrics of the server, and the middleware that counts requests and sets headers."""

from __future__ import annotations

import asyncio
import logging
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossrec.server.errors import error_response
from crossrec.server.limits import READING

log = logging.getLogger(__name__)
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers of every response: no foreign content is loaded, and no other page may embed this one."""
PROMETHEUS_UNMATCHED = "unmatched"
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class ServerMetrics:
    """Counters of one server, in their own registry, so that several servers fit into one process."""

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
            "crossrec_waiting", "Recommendation requests waiting for a batch", registry=self.registry
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
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class Observed:
    """Middleware that sets headers and counts responses.

    A bug becomes a 500, with the traceback in the log; a request that is cancelled because the server shuts
    down becomes a 503.

    Args:
        app: wrapped application.
        measures: metrics of the server.
    """

    def __init__(self, app: ASGIApp, *, measures: ServerMetrics) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        except asyncio.CancelledError:
            # Whole requests are cancelled only at shutdown; a response that has begun is cut off.
            if not status:
                answer = error_response(503, "the server is shutting down", headers={"Connection": "close"})
                await answer(scope, receive, dressed)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            answer = error_response(500, "the server failed on this request; its log says where")
            await answer(scope, receive, dressed)
        finally:
            route = getattr(scope.get("route"), "path", PROMETHEUS_UNMATCHED)
            self._measures.requests.labels(_method(scope), route, str(status)).inc()
            self._measures.seconds.labels(route).observe(time.perf_counter() - began)


def _method(scope: Scope) -> str:
    """Return a known method, or one label for all others: clients must not create labels."""
    known = (*READING, "POST", "PUT", "PATCH", "DELETE")
    return scope["method"] if scope["method"] in known else "other"
