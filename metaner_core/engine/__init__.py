"""The same answers as the plain loops of `method`, for many sentences and tasks at once."""
