"""Bars on a terminal, silence in a log."""

import re

import pytest

from mirada.terminal import epoch_progress, image_progress, share_progress, stage_progress


def work() -> None:
    """All kinds of bars, each brought to its end."""
    for bars in (image_progress, stage_progress):
        with bars() as progress:
            bar = progress.add_task("look", total=4)
            progress.advance(bar, 4)
    with epoch_progress(epochs=3, steps=10, first_epoch=2) as advance:
        advance(3, 5)
    with share_progress("fetch") as advance:
        advance(30, 40)


def test_a_log_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    work()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_how_far_the_work_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    work()
    out, err = capsys.readouterr()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert out == "", "bars go to stderr"
    assert "look" in shown and "4/4" in shown
    assert "epoch 2" in shown and "epoch 3" in shown and "25/30" in shown, "two epochs and a half of three"
    assert "fetch" in shown and " 75%" in shown
