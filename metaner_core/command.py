"""A command as a person meets it: its name, lines of log at once, a user's error in one line. Quick to import."""

import argparse
import errno
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Sequence

USERS_ERRORS = (ValueError, OSError)  # the latter's places are the user's, or the user's machine's
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


def require_extra(use: str, extra: str, *libraries: str) -> None:
    """Raises ValueError, with the command that installs it, when a library is missing that only this use of ours needs.

    To be asked before the work, not when the library is wanted at the end of it. extra: of the package, that brings it.
    """
    if missing := [name for name in libraries if importlib.util.find_spec(name) is None]:
        install = f"pip install {' '.join(libraries)} (metaner's extra [{extra}] brings the same)"
        raise ValueError(f"{use} needs {' and '.join(missing)}: {install}, or leave it out")


class Ended(RuntimeError):
    """A run that had to end, by no fault of what the user gave; the text says all that there is to say."""


_PLACES = {  # what to do about a place of this machine that fails
    errno.EACCES: "give a place that you may use, or have its owner let you",
    errno.EPERM: "give a place that you may use, or have its owner let you",
    errno.EROFS: "nothing can be written there: give another place",
    errno.ENOTDIR: "a part of this path is a file: give a path whose folders are folders",
    errno.EISDIR: "this is a folder: give a file",
    errno.ENOSPC: "make room, or give a place on another disk",
    errno.ENAMETOOLONG: "give a shorter path",
}
_BUCKETS = {  # likewise of object storage, by what its answer is called
    "ACCESS_DENIED": "the credentials do not allow it: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, to some that do, or have its owner let you",
    "NO_SUCH_BUCKET": "there is no such bucket: name one that there is",
    "NETWORK_CONNECTION": "the storage is not reached: see whether the bucket's name, AWS_ENDPOINT_URL and "
    "AWS_DEFAULT_REGION are right, and whether this machine has a network",
    "INVALID_ACCESS_KEY_ID": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that the storage knows",
    "SIGNATURE_DOES_NOT_MATCH": "AWS_SECRET_ACCESS_KEY is not that of AWS_ACCESS_KEY_ID: set both",
    "UNKNOWN": "see whether AWS_DEFAULT_REGION is the bucket's and the credentials are meant for it",
}


def told(error: BaseException) -> str:
    """An error in words. To those of the system, which name the place, it adds what to do."""
    text = str(error)
    if not isinstance(error, OSError):
        return text
    if error.filename is not None and error.errno is not None:
        remedy = _PLACES.get(error.errno)
        return f"{os.fsdecode(error.filename)}: {error.strerror}{f'; {remedy}' if remedy else ''}"
    found = re.search(r"AWS Error (\w+)", text)
    return f"{text.rstrip('. ')}: {_BUCKETS.get(found[1], _BUCKETS['UNKNOWN'])}" if found else text


def run(main: Callable[[], object]) -> None:
    """Run a command's main function; an error of the user's ends it in one readable line and exit status 2, `Ended`
    in one and exit status 1."""
    try:
        main()
    except BrokenPipeError:  # who reads, such as `head`, has had enough; Python would say so once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except USERS_ERRORS as error:
        print(f"error: {told(error)}", file=sys.stderr)
        sys.exit(2)
    except Ended as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
