"""The progress bar: only where somebody looks, and from where the work goes on."""

from __future__ import annotations

import pytest

from crossrec.runtime.progress import progress_bar


@pytest.mark.parametrize("force", [False, True])
def test_progress_is_drawn_only_when_somebody_looks(force: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("pictures", 4, force=force) as advance:
        advance(4)
    assert ("pictures" in capsys.readouterr().err) is force


def test_what_was_done_before_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("steps", 10, done=7, force=True) as advance:
        advance(1)
    assert "8/10" in capsys.readouterr().err


def test_nothing_is_drawn_for_no_work(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("pictures", 0, force=True):
        pass
    assert capsys.readouterr().err == ""
