"""Photographs that show the same thing: copies, flips, crops, other brightness, one original, one scene."""
