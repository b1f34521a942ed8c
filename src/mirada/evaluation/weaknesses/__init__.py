"""Where a model fails: by class, size and crowding, under corruption, in its own certainty, and what it looks at."""
