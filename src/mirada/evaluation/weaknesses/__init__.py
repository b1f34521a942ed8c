"""Where a model fails: by class, size, crowding and occlusion, under corruption, how sure it is, and what it looks at."""
