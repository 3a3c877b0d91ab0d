"""A command as a person meets it: lines of log at once, and a user's error in one line. Quick to import."""

import sys
from collections.abc import Callable

USERS_ERRORS = (ValueError, FileNotFoundError, FileExistsError)


def say(*parts: object) -> None:
    """One line of log, at once."""
    print(*parts, flush=True)


def run(main: Callable[[], None]) -> None:
    """Run a command's main function; an error of the user's ends it in one readable line and exit status 2."""
    try:
        main()
    except USERS_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
