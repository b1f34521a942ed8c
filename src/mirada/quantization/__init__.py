"""Int8 without TensorFlow: the budget of accuracy, calibration, and which operators lose what."""
