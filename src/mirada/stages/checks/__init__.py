"""Commands that judge one file and change nothing: `check_qat` and `check_tflite`."""
