"""Searches by Optuna: a study, its objectives, and trials that end early."""
