"""Hydra's store of schemas, made cheap to look things up in. Written for Hydra 1.3.

For each look-up of a group's options Hydra 1.3 copies its repository, and with it every configuration that was ever stored;
`--help` asks 84 times. Nobody needs the copies: look-ups only read, and `ConfigStore.load` hands out a copy of its own.
"""

from __future__ import annotations

from typing import Any, Self

from hydra.core.config_store import ConfigStore


class SharedSchemas(dict[str, Any]):
    """What a `ConfigStore` holds, group -> name -> configuration; a deep copy is the same object."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Give this object itself."""
        return self


def shared_store() -> ConfigStore:
    """Hydra's store, whose content is shared by all of its copies from now on."""
    store = ConfigStore.instance()
    if not isinstance(store.repo, SharedSchemas):
        store.repo = SharedSchemas(store.repo)
    return store
