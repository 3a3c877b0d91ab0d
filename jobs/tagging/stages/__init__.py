"""A tagging run whose actors hold the model and do nothing else: readers before them, writers after."""
