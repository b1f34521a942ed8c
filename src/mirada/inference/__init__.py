"""A model file and what it finds; nothing here knows TensorFlow, MLflow or the configuration."""
