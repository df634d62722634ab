"""What is said before the recommender is loaded, and what becomes of a server that is stopped."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossrec.cli.runs import serve as command
from crossrec.server.config import ServerConfig
from crossrec.server.run import serve
from crossrec.types import InputError

ONE_SERVER = """
import importlib.util, logging, time
spec = importlib.util.spec_from_file_location("shops", {path!r})
shops = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shops)
from crossrec.server.config import ServerConfig
from crossrec.server.run import serve
class Slow(shops.FakeShop):
    def similar(self, *arguments, **options):
        print("begun", flush=True)
        time.sleep({seconds})
        return super().similar(*arguments, **options)
serve(Slow, ServerConfig(port=0))
"""


def never() -> Any:
    raise AssertionError("the recommender was loaded, though it can't be served")


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_taken_port_is_told_before_loading(host: str, family: socket.AddressFamily) -> None:
    with socket.socket(family) as taken:
        try:
            taken.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} on this machine")
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"{port}.*--port"):
            serve(never, ServerConfig(host=host, port=port))


def test_an_address_of_another_machine_is_an_input_error() -> None:
    with pytest.raises(InputError, match="--host"):
        serve(never, ServerConfig(host="192.0.2.1", port=0))


def test_a_missing_library_is_told_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match="serve"):
        serve(never, ServerConfig(port=0))


@contextmanager
def a_server(seconds: float = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its address; looking for similar items takes a while."""
    script = ONE_SERVER.format(path=str(Path(__file__).with_name("conftest.py")), seconds=seconds)
    # A shell that runs jobs in the background has them ignore SIGINT, and they hand that on.
    awake = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", awake + script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        address = process.stdout.readline().split()[1]
        with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
            assert client.get(f"{address}health").status_code == 200
        yield process, address
    finally:
        process.kill()


SIGNALS = pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])


@pytest.mark.slow
@SIGNALS
def test_a_server_says_its_port_and_ends_quietly(sign: signal.Signals, status: int) -> None:
    with a_server() as (process, _):
        process.send_signal(sign)
        _, problems = process.communicate(timeout=30)
    assert (process.returncode, problems) == (status, "")


@pytest.mark.slow
@SIGNALS
@pytest.mark.parametrize(("seconds", "answered", "told"), [(2, 200, []), (9, 503, ["Cancel 1 running task"])])
def test_a_long_request_is_answered_or_refused_when_the_server_ends(
    sign: signal.Signals, status: int, seconds: float, answered: int, told: list[str]
) -> None:
    with a_server(seconds) as (process, address), ThreadPoolExecutor() as threads:
        assert process.stdout is not None
        asked = threads.submit(httpx.get, f"{address}api/similar/i2", timeout=30)
        assert process.stdout.readline() == "begun\n"
        process.send_signal(sign)
        _, problems = process.communicate(timeout=60)
        assert asked.result().status_code == answered
    assert process.returncode == status
    lines = problems.splitlines()
    assert len(lines) == len(told), problems
    assert all(expected in line for expected, line in zip(told, lines, strict=True))


def test_overrides_reach_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, list[str]]] = []

    def load(source: str, *, overrides: list[str], trust_code: bool) -> None:
        assert not trust_code
        loaded.append((source, overrides))

    def start(load: Callable[[], Any], config: ServerConfig) -> None:
        assert config.port == 8123
        load()

    monkeypatch.setattr("crossrec.load", load)
    monkeypatch.setattr("crossrec.server.run.serve", start)
    arguments = ["runs/demo", "data.root=shop", "--port", "8123", "data.cache_dir=/tmp/cache"]
    assert command(arguments) == 0
    assert loaded == [("runs/demo", ["data.root=shop", "data.cache_dir=/tmp/cache"])]
