"""The model that the service serves: its copy, the registry's champion, and its predictions."""
