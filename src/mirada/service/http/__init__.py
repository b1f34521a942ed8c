"""What one HTTP request meets: its limits, its routes, the forms of its answer, and the page of reference."""
