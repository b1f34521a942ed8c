"""Who trains and who tests: deterministic splits, and checks that nothing is on both sides. No file is opened here."""
