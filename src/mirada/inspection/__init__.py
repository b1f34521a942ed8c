"""What raw data look like before they are trained on: a survey in one pass, findings about it, the page with them."""
