"""The model for programs that are not Mirada: what they find, held against what the engine finds."""
