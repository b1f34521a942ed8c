"""Pixels of image files: which files open, and how more than 8 bits become 8."""
