"""What training jobs share: their options, the Ray Train trainer, checkpoints."""
