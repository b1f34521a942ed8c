"""The pipeline stages: read files, call pure code, write files, log."""
