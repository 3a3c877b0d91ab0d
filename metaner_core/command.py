"""A command as a person meets it: its name, lines of log at once, a user's error in one line. Quick to import."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

USERS_ERRORS = (ValueError, FileNotFoundError, FileExistsError)
PROGRAM = "metaner"
EVERY_SECONDS = 10  # between two lines of a long run's progress


def program(module: str) -> str:
    """What a command is called in its help: `metaner tag`, or `python -m jobs.bulk_tag` if it was started so."""
    return sys.argv[0] if sys.argv[0].startswith(f"{PROGRAM} ") else f"python -m {module}"


class CommandParser(argparse.ArgumentParser):
    """A command's parser, whose help begins with examples."""

    def __init__(self, module: str, description: str, examples: Sequence[str]) -> None:
        """module: that the command is the main() of. examples: options, as one would give them."""
        super().__init__(prog=program(module), description=description, allow_abbrev=False)
        self._examples = examples

    def format_help(self) -> str:
        lines = "\n".join(f"  {self.prog} {example}".rstrip() for example in self._examples)
        return f"example{'s' * (len(self._examples) > 1)}:\n{lines}\n\n{super().format_help()}"


def say(*parts: object) -> None:
    """One line of log, at once."""
    print(*parts, flush=True)


def run(main: Callable[[], object]) -> None:
    """Run a command's main function; an error of the user's ends it in one readable line and exit status 2."""
    try:
        main()
    except USERS_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # who reads, such as `head`, has had enough; Python would say so once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
