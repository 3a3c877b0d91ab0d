"""The parts of an evaluation: what is scored, cut into parts, the actor, how it goes on."""
