"""A variant with all that is needed to run it on a device, as one folder."""
