"""The table of a sweep: what differs, how it scales, how far it is."""

import csv

import pytest

from mirada.sweeps.plot import plot_sweep
from mirada.sweeps.report import report
from mirada.sweeps.table import (
    DONE,
    FAILED,
    PRUNED,
    SKIPPED,
    VIEWS,
    JobRecord,
    csv_of,
    duration,
    efficiencies,
    label_of,
    notes_of,
    progress_line,
    swept_columns,
    table_of,
)

TRAIN, PREPROCESS = VIEWS["train"], VIEWS["preprocess"]


def job(number: int, overrides: str, speed: float | None = None, status: str = DONE) -> JobRecord:
    """A job that took 10 s for its training, or failed without a speed."""
    if speed is None:
        return JobRecord(number, overrides.split(), FAILED, "no luck", f"{number}abcdefgh")
    figures = {"train_images_per_s": speed, "train_seconds": 10.0, "best_map50": 0.5 + number / 100, "gpus_physical": 0}
    return JobRecord(
        number, overrides.split(), status, "", f"{number}abcdefgh", "/out", 12.0, figures, "best_map50", "mAP50"
    )


def eight() -> list[JobRecord]:
    """epochs x gpus x workers, one of which was skipped and one of which failed."""
    speeds = [20.0, 30.0, 36.0, 45.0, 20.0, None, 30.0, 44.0]
    settings = [f"data_dir=d epochs={e} gpus={g} workers={w}" for e in (10, 20) for g in (1, 2) for w in (1, 2)]
    statuses = [SKIPPED, *[DONE] * 7]
    return [job(n, *each) for n, each in enumerate(zip(settings, speeds, statuses, strict=True))]


def test_columns_are_the_settings_that_differ_the_usual_ones_first():
    jobs = [job(0, "model=tiny epochs=1 data_dir=a", 1), job(1, "model=lite0 epochs=2 data_dir=a", 1)]
    assert swept_columns(jobs) == ["epochs", "model"]
    assert label_of(jobs[1], swept_columns(jobs)) == "epochs=2 model=lite0"
    assert swept_columns([job(0, "data_dir=a", 1), job(1, "data_dir=b", 1)]) == ["data_dir"]
    assert label_of(jobs[0], []) == "job 0"


def test_efficiency_is_against_the_job_that_differs_only_in_having_the_fewest():
    found = efficiencies(eight(), TRAIN)
    assert found == pytest.approx({0: 1, 2: 36 / 40, 1: 1, 3: 45 / 60, 4: 1, 6: 30 / 40})  # 5 failed: 7 has no base


def test_efficiency_counts_from_the_fewest_there_are_and_never_from_none():
    jobs = [job(0, "gpus=0", 9), job(1, "gpus=2", 10), job(2, "gpus=4", 15)]
    assert efficiencies(jobs, TRAIN) == pytest.approx({1: 1, 2: 0.75})
    assert efficiencies(jobs[:2], TRAIN) == {}
    assert efficiencies([job(0, "epochs=1", 9), job(1, "epochs=2", 9)], TRAIN) == {}


def test_the_table_says_what_was_skipped_and_why_a_job_failed():
    head, rows = table_of(eight(), TRAIN)
    assert head == [
        "job", "epochs", "gpus", "workers", "", "images/s", "efficiency", "train s", "val mAP50", "run",
    ]  # fmt: skip
    assert rows[0] == ["0", "10", "1", "1", "skipped", "20.0", "1.00", "10.0", "0.500", "0abcdefg"]
    assert rows[2] == ["2", "10", "2", "1", "", "36.0", "0.90", "10.0", "0.520", "2abcdefg"]
    assert rows[5] == ["5", "20", "1", "2", "failed", "–", "–", "–", "–", "5abcdefg"]
    notes = notes_of(eight(), TRAIN)
    assert notes[0] == "job 5 failed: no luck"
    assert notes[-1].startswith("There is no GPU here")
    assert notes_of([job(0, "epochs=3", 1), job(1, "epochs=2", 1)], TRAIN) == []
    (note,) = notes_of([job(0, "epochs=1", 1), job(1, "epochs=2", 1)], TRAIN)
    assert note.startswith("images/s of one epoch hold its compilation")


def test_the_csv_is_unrounded_and_complete():
    head, rows = csv_of(eight(), TRAIN)
    third = dict(zip(head, rows[2], strict=True))
    assert (third["gpus"], third["scaling_efficiency"], third["output_dir"]) == ("2", pytest.approx(0.9), "/out")
    assert third["overrides"] == "data_dir=d epochs=10 gpus=2 workers=1"
    failed = dict(zip(head, rows[5], strict=True))
    assert (failed["status"], failed["reason"], failed["train_seconds"]) == (FAILED, "no luck", "")


@pytest.mark.parametrize(
    ("counts", "total", "seconds", "line"),
    [
        ({SKIPPED: 1, DONE: 2}, 8, 252, "sweep: 3 of 8 done (1 skipped, 0 failed), 4 min 12 s, about 10 min left"),
        ({SKIPPED: 1}, 8, 1, "sweep: 1 of 8 done (1 skipped, 0 failed), 1 s"),
        ({DONE: 7, FAILED: 1}, 8, 4000, "sweep: 8 of 8 done (0 skipped, 1 failed), 1 h 6 min"),
        ({DONE: 2}, None, 59.4, "sweep: 2 done (0 skipped, 0 failed), 59 s"),
    ],
)
def test_progress(counts, total, seconds, line):
    assert progress_line(counts, total, seconds) == line


def test_what_a_search_pruned_is_neither_done_nor_failed():
    line = progress_line({DONE: 1, PRUNED: 2}, 4, 30)
    assert line.startswith("sweep: 3 of 4 done (0 skipped, 2 pruned, 0 failed), ")


def test_durations():
    assert [duration(s) for s in (0.2, 59.6, 61, 7325)] == ["0 s", "1 min 0 s", "1 min 1 s", "2 h 2 min"]


def test_the_report_is_a_table_a_csv_a_plot_and_a_page(tmp_path, capsys):
    files = report(eight(), "train", tmp_path)
    assert [path.name for path in files] == ["sweep.csv", "sweep.png", "index.html"]
    assert len(list(csv.reader(files[0].read_text().splitlines()))) == 9
    assert files[1].read_bytes().startswith(b"\x89PNG")
    page = files[2].read_text()
    assert "job 5 failed: no luck" in page
    assert page.count("<tr") == 9
    assert page.count("data:image/png;base64,") == 2  # light and dark
    shown = capsys.readouterr().out
    assert "0.90" in shown
    assert "██████" in shown  # the fastest


def test_where_every_job_failed_there_is_no_plot(tmp_path, capsys):
    assert [path.name for path in report([job(0, "epochs=1")], "train", tmp_path)] == ["sweep.csv", "index.html"]
    assert "job 0 failed: no luck" in capsys.readouterr().out


def test_preprocessing_is_plotted_over_workers_and_by_bars_where_that_is_not_swept(tmp_path):
    def made(number, overrides):
        figures = {"images_per_s": 100.0 + number, "seconds": 2.0, "cpu_percent": 90.0, "peak_memory_mb": 300.0}
        return JobRecord(number, overrides.split(), DONE, figures=figures)

    over_workers = [made(0, "workers=1"), made(1, "workers=2"), made(2, "workers=4")]
    head, rows = table_of(over_workers, PREPROCESS)
    assert head[3:-1] == ["images/s", "efficiency", "s", "CPU %", "peak MB"]
    assert rows[2][4] == "0.26"  # 102 / (4 x 100)
    plots = [
        plot_sweep(over_workers, PREPROCESS),
        plot_sweep([made(0, "quality=90"), made(1, "quality=95")], PREPROCESS),
    ]
    assert all(plot.startswith(b"\x89PNG") for plot in plots)
    assert plots[0] != plots[1]
