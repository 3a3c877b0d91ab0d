"""Where the jobs run. Imports jobs, never the reverse."""
