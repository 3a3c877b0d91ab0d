"""Tagging in three stages that may each be a process of its own, and what is passed between them as Arrow tables."""
