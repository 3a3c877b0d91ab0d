"""The method on Ray: meta-training, bulk tagging and evaluation as jobs. Imports metaner_core, never the reverse."""
