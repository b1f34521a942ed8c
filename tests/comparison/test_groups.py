import re

import pytest

from mirada.comparison.groups import RunRecord, differing, group_runs, run_record, separation
from mirada.comparison.page import csv_of, origins_of, plots_of, render_comparison, table_of
from mirada.errors import MiradaError

COSTS = {"float32": (12e6, 20.0), "int8": (3e6, 11.0)}


def run(number, params=None, accuracy=0.6, tags=None, status="FINISHED", evaluated=True, task="detection"):
    metric = {"detection": "map50", "classification": "accuracy"}[task]
    metrics = {"train_seconds": 90.0 * number, f"best_{metric}": accuracy + 0.05, "system/cpu": 3.0, "loss": 1.0}
    for variant, (size, time) in COSTS.items() if evaluated else ():
        lost = 0.01 * (variant == "int8")
        figures = {metric: accuracy - lost, "drop": lost, "drop_low": lost - 0.02, "drop_high": lost + 0.02}
        figures |= {"size_bytes": size, "latency_ms_p50": time + number, "log_loss": 0.3}
        metrics |= {f"{variant}/{key}": value for key, value in figures.items()}
    settings = {"dataset": "trees", "evaluate.split": "test", "seed": "0"} | (params or {})
    if not evaluated:
        del settings["evaluate.split"]
    labels = {"task": task, "data_digest": "abcdef123456", "mlflow.user": "someone"} | (tags or {})
    return run_record(f"{number:032x}", f"run {number}", status, settings, metrics, labels)


def test_metrics_are_shared_out_between_variants_and_run():
    record = run(1)
    assert set(record.figures) == {"float32", "int8"} and record.figures["int8"]["size_bytes"] == 3e6
    assert record.train_minutes == 1.5 and record.others["loss"] == 1.0
    assert record.reason == "" and "mlflow.user" not in record.tags


@pytest.mark.parametrize(
    ("status", "tags", "expected"),
    [
        ("FAILED", {"error": "no luck\nat all"}, "failed: no luck"),
        ("FAILED", {}, "failed: no reason recorded"),
        ("RUNNING", {}, "still running, or ended without a word"),
        ("KILLED", {}, "stopped by its user"),
        ("KILLED", {"pruned_why": "stopped after epoch 2"}, "pruned by its search, stopped after epoch 2"),
        ("FINISHED", {}, "not evaluated"),
    ],
)
def test_a_run_without_figures_says_why(status, tags, expected):
    assert run(1, tags=tags, status=status, evaluated=False).reason == expected


def test_only_settings_that_differ_have_a_column_and_those_of_a_sweep_come_first():
    runs = [
        run(1, {"augment.hue": "0.1", "gpus": "1", "epochs": "10", "output_dir": "a", "workers": "2"}),
        run(2, {"augment.hue": "0.2", "gpus": "2", "epochs": "20", "output_dir": "b", "workers": "2"}),
        run(3, {"workers": "2"}, evaluated=False),
    ]
    assert differing(runs) == ["epochs", "gpus", "augment.hue"]


def test_what_follows_from_a_groups_choice_has_no_column():
    tiny = {"model.name": "tiny", "model.backbone": "tiny", "model.width": "16"}
    lite0 = {"model.name": "lite0", "model.backbone": "efficientnet", "model.width": "64"}
    unknown = run(3, {"model.name": "lite0"}, evaluated=False)
    assert differing([run(1, tiny), run(2, lite0), unknown]) == ["model.name"]
    assert differing([run(1, tiny), run(2, lite0), run(3, lite0 | {"model.width": "32"})]) == [
        "model.name",
        "model.width",
    ]


def test_a_setting_that_an_evaluated_run_lacks_is_a_value_of_its_own():
    board = {"quantize.device": "esp32s3"}
    runs = [run(1), run(2, board), run(3, evaluated=False)]
    (group,) = group_runs(runs, variants=["int8"])
    assert group.columns == ["quantize.device"]
    assert [row.settings["quantize.device"] for row in group.rows] == ["–", "esp32s3", "–"]
    assert [group.label(one) for one in runs[1:2]] == ["quantize.device=esp32s3"]
    assert group.label(runs[0]) == "quantize.device=– 000000", "as that which was not evaluated"
    assert differing([run(1, board), run(2, board), run(3, evaluated=False)]) == [], "it may not have come so far"


def test_runs_of_other_images_tasks_and_splits_are_apart():
    runs = [
        run(1),
        run(2, tags={"data_digest": "ffffff"}),
        run(3, {"evaluate.split": "val"}),
        run(4, task="classification"),
        run(5, evaluated=False),
        run(6, tags={"evaluate_digest": "ffffff"}),
    ]
    groups = group_runs(runs)
    numbers = [[int(record.id, 16) for record in group.runs] for group in groups]
    assert numbers == [[1, 5], [2, 6], [3], [4]]
    assert [group.metric for group in groups] == ["map50", "map50", "map50", "accuracy"]
    assert separation(groups[:1]) == ""
    assert "trees: detection, split val, data abcdef12 (00000000)" in separation(groups)


def test_the_metric_must_be_one_where_higher_is_better():
    for metric in ("log_loss", "drop", "no_such"):
        with pytest.raises(MiradaError, match=f"metric={metric} can't be compared by: .* of map50"):
            group_runs([run(1)], metric=metric)


def test_an_unknown_variant_is_refused():
    with pytest.raises(MiradaError, match="no run has 'int4', choose among float32, int8"):
        group_runs([run(1)], variants=["int4"])


def sweep() -> list[RunRecord]:
    return [
        run(1, {"epochs": "10"}, accuracy=0.6),
        run(2, {"epochs": "20"}, accuracy=0.7),
        run(3, {"epochs": "40"}, status="FAILED", tags={"error": "gpus=4 <but> 2"}, evaluated=False),
    ]


def test_the_table_reads_as_written():
    (group,) = group_runs(sweep(), variants=["int8"])
    head, rows = table_of(group)
    assert head == ["run", "epochs", "variant", "mAP50", "drop", "MB", "p50 ms", "validation", "train min", "Pareto"]
    assert rows[0] == ["0" * 8, "10", "int8", "0.590", "+0.010 [−0.010, +0.030]", "3.00", "12.0", "0.650", "1.5", "●"]
    assert rows[1][3:] == ["0.690", "+0.010 [−0.010, +0.030]", "3.00", "13.0", "0.750", "3.0", "●"]
    assert rows[2][1:] == ["40", "–", "–", "–", "–", "–", "0.650", "4.5", ""]
    assert table_of(group, intervals=False)[1][0][4] == "+0.010"


def test_a_beaten_variant_is_not_on_the_front():
    (group,) = group_runs([run(1, accuracy=0.6), run(2, accuracy=0.5)])
    assert [(row.run.name, row.variant) for row in group.rows if row.on_front] == [
        ("run 1", "float32"),
        ("run 1", "int8"),
    ]
    assert "name" in table_of(group)[0]  # no setting tells them apart


def test_the_csv_holds_every_line_unrounded_with_the_settings_that_differ():
    head, rows = csv_of(group_runs(sweep()))
    lines = [dict(zip(head, row, strict=True)) for row in rows]
    assert len(lines) == 5 and head[-1] == "epochs"
    assert lines[1] | {"variant": "int8", "value": 0.59, "drop_low": -0.01, "epochs": "10", "pareto": "yes"} == lines[1]
    assert lines[4]["remark"] == "failed: gpus=4 <but> 2" and lines[4]["value"] == ""


def test_a_training_sweep_without_evaluation_has_its_plot():
    runs = [run(n, {"epochs": str(10 * n)}, evaluated=False) for n in (1, 2)]
    (group,) = group_runs(runs)
    assert list(plots_of(group)) == ["sweep"]
    assert list(plots_of(group_runs(sweep())[0])) == ["latency", "size", "sweep"]
    assert list(plots_of(group_runs([run(1)])[0])) == ["latency", "size"]


def test_times_of_different_machines_and_changed_code_are_pointed_out():
    (group,) = group_runs([run(1, tags={"cpu": "A", "git_dirty": "True"}), run(2, tags={"cpu": "B"})])
    assert group.notes == [
        "Times were measured on different CPUs (A, B): don't compare them.",
        "Trained with uncommitted changes of the code: 00000000.",
    ]


def test_runs_of_different_code_are_pointed_out():
    def notes(*commits: str) -> list[str]:
        runs = [run(n, {"seed": str(n)}, tags={"git_commit": c}) for n, c in enumerate(commits)]
        return group_runs([*runs, run(8), run(9, tags={"git_commit": "c" * 40}, evaluated=False)])[0].notes

    assert notes("a" * 40, "a" * 40, "unknown") == []
    (note,) = notes("a" * 40, "b" * 40, "a" * 40)
    assert note == (
        "Trained at different commits of the code, a mean over seeds and folds does not tell them apart "
        "(aaaaaaaaaaaa: 00000000, 00000000; bbbbbbbbbbbb: 00000000)."
    )


def test_plots_are_about_the_variant_that_a_single_page_is_about():
    def with_best(record, accuracy):
        record.figures["best"] = record.figures["int8"] | {"map50": accuracy}
        return record

    assert group_runs([run(1), run(2)])[0].shown == "int8"
    assert group_runs([with_best(run(1), 0.1), run(2)])[0].shown == "best"
    assert group_runs([run(1), run(2)], variants=["float32"])[0].shown == "float32"
    assert group_runs([run(1, evaluated=False)])[0].shown == ""


def test_the_page_tells_what_each_run_was_made_and_measured_with():
    tags = {"git_commit": "1" * 40, "git_dirty": "True", "evaluate_commit": "2" * 40, "evaluate_dirty": "False"}
    tags |= {"evaluate_digest": "d" * 64, "litert": "2.1", "cpu": "EPYC", "threads": "2"}
    (group,) = group_runs([run(1, tags=tags), run(2, tags={"evaluate_digest": "d" * 64})])
    head, (known, unknown) = origins_of(group)
    assert dict(zip(head, known, strict=True)) == {
        "run": f"{1:032x}", "name": "run 1", "trained at commit": f"{'1' * 12} with uncommitted changes",
        "data": "abcdef123456", "measured at commit": "2" * 12, "on data": "d" * 12, "LiteRT": "2.1", "CPU": "EPYC",
        "threads": "2",
    }  # fmt: skip
    assert unknown[2:5] == ["–", "abcdef123456", "–"] and unknown[-1] == "–"
    assert f"<td>{'1' * 12} with uncommitted changes</td>" in render_comparison([group], [])


def test_the_page_holds_everything_itself_and_escapes_what_runs_say():
    page = render_comparison(group_runs([*sweep(), run(9, task="classification")]), [("Runs from", "a store")])
    assert "gpus=4 &lt;but&gt; 2" in page and "<but>" not in page
    assert "4 runs compared" in page and "differ in task or in the images" in page
    sources = re.findall(r'(?:src|srcset|href)="([^"]{0,30})', page)
    assert len(sources) == 10 and all(source.startswith("data:image/png;base64,") for source in sources)
