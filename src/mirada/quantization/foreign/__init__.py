"""What can be told of anybody's `.tflite`: how it was quantized, what is wrong with it, what runs it."""
