"""The second way to learn: to give the vectors that a teacher has of sentences and words."""
