"""The tasks. Each is one module, of the name it has in `data.task`: what is measured, and how the report shows it.

Nothing here imports TensorFlow; a task's heads and losses are in the module of the same name in `mirada.learning.tasks`.
"""

from __future__ import annotations

from importlib import import_module

from mirada import config
from mirada.errors import MiradaError
from mirada.tasks.base import Task

TASKS: dict[str, Task] = {name: import_module(f"{__name__}.{name}").TASK for name in config.TASKS}
"""Name -> `TASK` of the module of that name."""


def get_task(name: str) -> Task:
    """The task of a name, as in `data.task` and in a model's card.

    Raises:
        MiradaError: there is none of that name.
    """
    if name not in TASKS:
        raise MiradaError(f"The task must be one of {', '.join(TASKS)}, got {name!r}.")
    return TASKS[name]
