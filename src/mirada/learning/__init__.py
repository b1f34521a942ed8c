"""Everything that needs TensorFlow; nothing outside this folder imports it.

tensorflow-model-optimization works with Keras 2 alone, so the whole project does: `tf_keras`.
"""

import logging
import os
import sys

from mirada.errors import MiradaError
from mirada.quiet import quiet_libraries

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.setdefault("TF_USE_LEGACY_KERAS", "1") != "1":
    raise MiradaError("TF_USE_LEGACY_KERAS must be 1 (Keras 2), got another value: unset it.")
if "keras" in sys.modules and not sys.modules["keras"].__version__.startswith("2."):
    raise MiradaError("Keras 3 was imported before Mirada, which needs Keras 2: import mirada.learning first.")


with quiet_libraries():
    import tensorflow  # noqa: F401
for _name in ("absl", "tensorflow"):
    logging.getLogger(_name).setLevel(logging.ERROR)
