"""Everything that needs TensorFlow; nothing outside this folder imports it.

tensorflow-model-optimization works with Keras 2 alone, so the whole project does: `tf_keras`.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mirada.errors import MiradaError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.setdefault("TF_USE_LEGACY_KERAS", "1") != "1":
    raise MiradaError("TF_USE_LEGACY_KERAS must be 1 (Keras 2), got another value: unset it.")
if "keras" in sys.modules and not sys.modules["keras"].__version__.startswith("2."):
    raise MiradaError("Keras 3 was imported before Mirada, which needs Keras 2: import mirada.learning first.")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep off stderr what C++ libraries say of themselves there; no log level reaches these lines."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


with quiet_libraries():
    import tensorflow  # noqa: F401
for _name in ("absl", "tensorflow"):
    logging.getLogger(_name).setLevel(logging.ERROR)
