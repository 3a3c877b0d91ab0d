"""The bundles that an experiment needs, and what it deletes of what it needs no more."""
