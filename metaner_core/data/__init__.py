"""Labelled sentences: reading column files, labels, the corpora by name, phrase-level scores."""
