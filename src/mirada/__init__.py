"""Mirada trains small vision models, shrinks them to int8 and measures what the shrinking cost."""
