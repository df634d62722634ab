"""What is said before the recommender is loaded, and what becomes of a server that is stopped."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossrec.server.config import ServerConfig
from crossrec.server.run import serve
from crossrec.types import InputError

ONE_SERVER = """
import importlib.util, logging
spec = importlib.util.spec_from_file_location("shops", {path!r})
shops = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shops)
from crossrec.server.config import ServerConfig
from crossrec.server.run import serve
serve(shops.FakeShop, ServerConfig(port=0))
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


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_server_says_its_port_and_ends_quietly(sign: signal.Signals, status: int) -> None:
    script = ONE_SERVER.format(path=str(Path(__file__).with_name("conftest.py")))
    # A shell that runs jobs in the background has them ignore SIGINT, and they hand that on.
    awake = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", awake + script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    address = process.stdout.readline().split()[1]
    transport = httpx.HTTPTransport(retries=10)
    with httpx.Client(transport=transport) as client:
        assert client.get(f"{address}health").status_code == 200
    process.send_signal(sign)
    _, problems = process.communicate(timeout=30)
    assert (process.returncode, problems) == (status, "")
