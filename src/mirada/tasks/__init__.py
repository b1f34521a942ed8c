"""The tasks. Each is one module: how raw outputs are decoded, what is measured, and how the report shows it.

Nothing here imports TensorFlow; a task's heads and losses are in the module of the same name in `mirada.learning.tasks`.
"""

from __future__ import annotations

from mirada.errors import MiradaError
from mirada.tasks.base import Task
from mirada.tasks.classification import Classifying
from mirada.tasks.detection import Detecting
from mirada.tasks.localization import Localizing

TASKS: dict[str, Task] = {task.name: task for task in (Detecting(), Localizing(), Classifying())}


def get_task(name: str) -> Task:
    """The task of a name, as in `data.task` and in a model's card.

    Raises:
        MiradaError: there is none of that name.
    """
    if name not in TASKS:
        raise MiradaError(f"The task must be one of {', '.join(TASKS)}, got {name!r}.")
    return TASKS[name]
