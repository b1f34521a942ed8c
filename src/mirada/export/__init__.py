"""What leaves the project: a model in the registry, and how it is served there."""
