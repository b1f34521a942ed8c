"""What the stage train refuses, and what MLflow gets to know of it."""
