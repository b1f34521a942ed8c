"""Everything that needs TensorFlow; nothing outside this folder imports it."""
