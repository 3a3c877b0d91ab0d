"""What training makes and tagging takes: a run prepared, the bundle written, checked and loaded."""
