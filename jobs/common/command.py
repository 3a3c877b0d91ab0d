"""What the jobs' commands share with the core's: lines of log, and a user's error in one line."""

from metaner_core.command import USERS_ERRORS, run, say

__all__ = ["USERS_ERRORS", "run", "say"]
