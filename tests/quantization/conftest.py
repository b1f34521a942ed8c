"""Evidence is gathered on networks that TensorFlow makes."""

import mirada.learning  # noqa: F401 - sets Keras 2 up before a test module imports TensorFlow
