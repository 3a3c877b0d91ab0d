"""Documents through a bundle: rows of the output schema, the Python API, a first look in a terminal."""
