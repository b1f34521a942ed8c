"""Trained models side by side: runs of MLflow in, a table, plots and a page out."""
