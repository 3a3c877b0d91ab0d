"""What every job shares: Ray, options, a log that people can read."""
