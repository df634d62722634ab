"""Requests per second and latency of a served run on the loopback, at several numbers of clients.

    python benchmarks/server.py runs/demo [--clients 1 8 64] [--seconds 10] [--rerank mmr]

Starts ``crossrec serve`` in a process of its own, asks for ten items for users of the log, each client one
request after the other over one connection, and prints a table. Everything shares this machine's cores: the
clients take their part of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

HOST = "127.0.0.1"
START_S = 300
WARM_S = 2.0
K = 10


@dataclass(frozen=True)
class Load:
    """What one number of clients met.

    Args:
        clients: that asked at once.
        seconds: that it took.
        latencies: of each answer, seconds.
        statuses: status -> answers.
    """

    clients: int
    seconds: float
    latencies: np.ndarray
    statuses: Counter[int]


async def client(port: int, bodies: list[bytes], until: float, latencies: list[float]) -> Counter[int]:
    """Asks again and again over one connection until the time is up."""
    reader, writer = await asyncio.open_connection(HOST, port)
    statuses: Counter[int] = Counter()
    number = 0
    while (began := time.perf_counter()) < until:
        body = bodies[number % len(bodies)]
        number += 1
        head = f"POST /api/recommend HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        statuses[await answer(reader)] += 1
        latencies.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()
    return statuses


async def answer(reader: asyncio.StreamReader) -> int:
    """The status of one answer, which is read to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1])


async def load(port: int, requests: list[dict[str, Any]], clients: int, seconds: float) -> Load:
    """Asks from so many clients at once, after a moment to warm up."""
    bodies = [json.dumps(request).encode() for request in requests]
    shares = [
        bodies[start:] + bodies[:start] for start in range(0, len(bodies), max(len(bodies) // clients, 1))
    ]
    for length in (WARM_S, seconds):
        latencies: list[float] = []
        began = time.perf_counter()
        found = await asyncio.gather(
            *(client(port, shares[c % len(shares)], began + length, latencies) for c in range(clients))
        )
    total = sum(found, Counter[int]())
    return Load(clients, time.perf_counter() - began, np.asarray(latencies), total)


def get(port: int, path: str) -> bytes:
    """The body of an answer."""
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=60) as response:
        content: bytes = response.read()
        return content


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(port: int, server: subprocess.Popen[bytes]) -> None:
    """Returns when the server answers."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with status {server.returncode}")
        try:
            get(port, "/health")
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"the server did not answer within {START_S} seconds")


def mean_batch(port: int) -> tuple[float, float]:
    """Sum and count of the batches' sizes so far."""
    lines = dict(
        line.rsplit(" ", 1) for line in get(port, "/metrics").decode().splitlines() if line[:1] != "#"
    )
    return float(lines["crossrec_batch_size_sum"]), float(lines["crossrec_batch_size_count"])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rerank", help="type of a reranker")
    parser.add_argument("--users", type=int, default=100, help="that are asked for in turn")
    parser.add_argument("options", nargs="*", help="further ones of crossrec serve, behind --")
    parsed = parser.parse_args()
    port = free_port()
    command = [sys.executable, "-m", "crossrec.cli.commands", "serve", parsed.run, "--port", str(port)]
    server = subprocess.Popen([*command, *parsed.options], stdout=subprocess.DEVNULL)
    try:
        wait_until_up(port, server)
        users = json.loads(get(port, f"/api/users?limit={min(parsed.users, 100)}"))["users"]
        rerank = None if parsed.rerank is None else {"type": parsed.rerank}
        requests = [{"user_id": user, "k": K, "rerank": rerank} for user in users]
        table = Table(title=f"{parsed.run}: lists of {K}, reranked by {parsed.rerank or 'nothing'}")
        for name in ("clients", "requests/s", "p50 ms", "p99 ms", "max ms", "mean batch", "answers"):
            table.add_column(name, justify="right")
        for clients in parsed.clients:
            before = mean_batch(port)
            found = asyncio.run(load(port, requests, clients, parsed.seconds))
            after = mean_batch(port)
            middle, late = np.percentile(found.latencies, [50, 99]) * 1e3
            table.add_row(
                str(clients),
                f"{len(found.latencies) / found.seconds:,.0f}",
                f"{middle:.1f}",
                f"{late:.1f}",
                f"{found.latencies.max() * 1e3:.1f}",
                f"{(after[0] - before[0]) / max(after[1] - before[1], 1):.1f}",
                ", ".join(f"{status}: {count:,}" for status, count in sorted(found.statuses.items())),
            )
        Console(width=110).print(table)
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main()
