"""Thumbs on a full disk: what is acknowledged is there, and every line is whole."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossrec.server.errors import NotKept
from crossrec.server.feedback import FeedbackLog


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets writes stop half way, and nothing be cut either where asked for."""
    write, cut = os.write, os.ftruncate

    def fill(stays: bool) -> None:
        began: list[int] = []

        def half(file: int, content: bytes) -> int:
            if began:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            began.append(file)
            return write(file, content[: len(content) // 2])

        def refused(file: int, length: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr("os.write", half)
        monkeypatch.setattr("os.ftruncate", refused if stays else cut)

    return fill


@pytest.mark.parametrize("stays", [False, True])
def test_what_was_not_written_is_an_error_and_the_next_line_is_whole(
    tmp_path: Path, full_disk: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    path = tmp_path / "thumbs.jsonl"
    log = FeedbackLog(path)
    log.append({"item_id": "first"})
    full_disk(stays)
    with pytest.raises(NotKept, match="No space left"):
        log.append({"item_id": "lost"})
    monkeypatch.undo()
    assert path.read_text().endswith("\n") != stays
    log.append({"item_id": "second"})
    assert [entry["item_id"] for entry in lines(path)] == ["first", "second"]


def test_lines_that_were_there_stay(tmp_path: Path) -> None:
    path = tmp_path / "thumbs.jsonl"
    path.write_text('{"item_id": "old"}\n{"item_id": "whole"}')
    FeedbackLog(path).append({"item_id": "new"})
    assert [entry["item_id"] for entry in lines(path)] == ["old", "whole", "new"]
    with path.open("a") as file:
        file.write('{"item_id": "bro')
    FeedbackLog(path).append({"item_id": "newest"})
    assert [entry["item_id"] for entry in lines(path)] == ["old", "whole", "new", "newest"]


def test_a_thumb_that_was_not_kept_is_not_acknowledged(
    serving: Callable[..., Any],
    fake_shop: Any,
    tmp_path: Path,
    full_disk: Callable[[bool], None],
    monkeypatch: Any,
) -> None:
    path = tmp_path / "thumbs.jsonl"
    with serving(fake_shop, feedback_log=path) as client:
        vote = {"item_id": "i1", "vote": "up"}
        assert client.post("/api/feedback", json=vote).json() == {"logged": True}
        full_disk(True)
        answer = client.post("/api/feedback", json=vote)
        monkeypatch.undo()
        assert answer.status_code == 507
        assert "No space left" in answer.json()["detail"]
        assert client.post("/api/feedback", json={**vote, "vote": "down"}).status_code == 200
        assert 'crossrec_feedback_total{vote="up"} 1.0' in client.get("/metrics").text
    assert [entry["vote"] for entry in lines(path)] == ["up", "down"]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from crossrec.server.errors import NotKept
from crossrec.server.feedback import FeedbackLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
log, kept = FeedbackLog(Path(sys.argv[1])), 0
for number in range(30):
    try:
        log.append({"item_id": f"item {number}", "note": "x" * 50})
        kept += 1
    except NotKept:
        break
print(kept)
"""


def test_as_many_lines_as_were_acknowledged_are_in_a_file_that_may_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "thumbs.jsonl"
    assert resource.RLIMIT_FSIZE >= 0
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert 0 < int(found.stdout) < 30
    assert len(lines(path)) == int(found.stdout)
