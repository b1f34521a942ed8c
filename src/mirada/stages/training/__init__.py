"""Parts of the stage `train`: what is refused before it starts, and what MLflow gets to know."""
