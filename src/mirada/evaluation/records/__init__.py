"""What training, quantization and publications left of a model, as the page shows it."""
