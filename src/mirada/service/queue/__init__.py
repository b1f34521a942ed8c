"""The jobs of the service: what Redis holds of them, and Celery's tasks."""
