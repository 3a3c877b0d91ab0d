"""The parts of an experiment: the grid, its cells, what runs where, what it would take, what it found."""
