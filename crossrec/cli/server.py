"""The command line of the server; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from crossrec.cli.guard import add_trust, guarded


def serve(arguments: Sequence[str] | None = None) -> int:
    """``crossrec serve RUN [--host 127.0.0.1] [--port 8000] [key=value …]``."""
    from crossrec.server.config import ServerConfig

    default = ServerConfig()
    parser = argparse.ArgumentParser(
        prog="crossrec serve",
        description="Serves a trained recommender: a page with pictures, and an API with its description.",
    )
    parser.add_argument("run", help="a run folder, a folder of save_pretrained, or a hub name user/name")
    parser.add_argument("--host", default=default.host, help="address to listen on (this machine only)")
    parser.add_argument("--port", type=int, default=default.port)
    parser.add_argument(
        "--name",
        dest="hosts",
        action="append",
        default=[],
        metavar="HOST",
        help="name under which browsers may reach it, where another than the loopback's; may be given again",
    )
    parser.add_argument("--feedback-log", type=Path, metavar="PATH", help="JSONL file to keep thumbs in")
    parser.add_argument("--timeout", type=float, default=default.timeout_s, help="seconds a request may take")
    parser.add_argument(
        "--connections-per-client",
        type=int,
        default=default.connections_per_client,
        help="of one address; more where all come through a proxy",
    )
    parser.add_argument("--batch-size", type=int, default=default.batch_size, help="requests scored together")
    parser.add_argument(
        "--batch-wait-ms", type=float, default=default.batch_wait_ms, help="that a request waits for others"
    )
    parser.add_argument("--queue", type=int, default=default.queue, help="requests that may wait")
    parser.add_argument(
        "--max-upload-mb", type=float, default=default.max_upload_bytes / 1e6, help="of a new item"
    )
    parser.add_argument(
        "--faiss-from", type=int, default=default.faiss_from, help="items from which FAISS finds plain lists"
    )
    parser.add_argument(
        "overrides", nargs="*", default=[], help="of a run's configuration, such as data.root=FOLDER"
    )
    add_trust(parser)
    parsed = parser.parse_intermixed_args(arguments)

    def run() -> None:
        from crossrec.config import ConfigError, validate

        if not math.isfinite(parsed.max_upload_mb):
            raise ConfigError(f"--max-upload-mb: needs a finite number, not {parsed.max_upload_mb}")
        content = {
            "host": parsed.host,
            "port": parsed.port,
            "hosts": tuple(parsed.hosts),
            "feedback_log": parsed.feedback_log,
            "timeout_s": parsed.timeout,
            "connections_per_client": parsed.connections_per_client,
            "batch_size": parsed.batch_size,
            "batch_wait_ms": parsed.batch_wait_ms,
            "queue": parsed.queue,
            "max_upload_bytes": int(parsed.max_upload_mb * 1e6),
            "faiss_from": parsed.faiss_from,
        }
        config = validate(ServerConfig, content, parser.prog)
        import crossrec
        from crossrec.server.run import serve as start

        options = {"overrides": parsed.overrides, "trust_code": parsed.trust_code}
        start(lambda: crossrec.load(parsed.run, **options), config)

    return guarded(run)
