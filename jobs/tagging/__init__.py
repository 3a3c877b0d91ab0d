"""The parts of a tagging run, from its options to its manifest."""
