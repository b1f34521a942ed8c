"""Which way a figure is better, and how a cost is written."""

import pytest

from mirada.config import TASKS
from mirada.evaluation.figures import COST_KEYS, COSTS, DROP, is_better_lower
from mirada.tasks import get_task


@pytest.mark.parametrize("task", TASKS)
def test_only_errors_costs_and_drops_are_better_low(task: str) -> None:
    own = [column.key for column in (*get_task(task).main_columns, *get_task(task).more_columns)]
    errors = {"log_loss", "ece", "box_mse_224"}
    assert {key for key in own if is_better_lower(key)} == errors & set(own)
    assert all(map(is_better_lower, (*COST_KEYS, *DROP)))
    assert not is_better_lower(get_task(task).main_metric)


def test_a_cost_is_written_in_its_headings_unit() -> None:
    texts = {cost.key: cost.text(1_234_567.0 if "bytes" in cost.key else 12.345) for cost in COSTS}
    assert texts["size_bytes"] == texts["size_gzip_bytes"] == "1.23", "MB"
    assert texts["latency_ms_p50"] == "12.3"
    assert (texts["peak_memory_mb"], texts["load_ms"]) == ("12", "12.3")
    assert len(set(COST_KEYS)) == len(COSTS)
