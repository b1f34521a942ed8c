"""What the command `fit` does for its search: stages for candidates, records, and what came of it."""
