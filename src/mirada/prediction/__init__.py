"""A model put to work: where photographs come from, what is found in them, and how it is written down."""
