"""Pre-trained encoders by name: where each is found, what it was made for, converted if need be, loaded."""
