"""What an experiment found: scores with their uncertainty, beside those that were published."""
