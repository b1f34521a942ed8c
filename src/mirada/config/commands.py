"""The settings of commands that are no stage of the pipeline, under the name that they and their file of `conf/` have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

COMMANDS: dict[str, type] = {}


def command(name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: these are the settings of `src/<name>.py`; `conf/<name>.yaml` begins with `<name>_schema`."""

    def keep(schema: type[T]) -> type[T]:
        COMMANDS[name] = schema
        return schema

    return keep
