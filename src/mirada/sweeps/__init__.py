"""Many runs of one stage, or of all: their parent run, what is shared, how far they are, what came of them."""
