"""What a model is worth: measured on a split, shown on a page, held against limits."""
