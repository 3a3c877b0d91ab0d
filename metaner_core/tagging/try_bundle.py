"""A first look at a bundle: `metaner try out/bundle "Angela Merkel besuchte Paris."`

The text with its names marked, and below each sentence the source sentences that the model was adapted on for it.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TextIO

from metaner_core import command

AT_ONCE = 64  # lines that go through the model together, if nobody waits for each

EXAMPLES = (
    'out/bundle "Angela Merkel besuchte Paris."',
    "out/bundle --unadapted --language zh < lines.txt",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. An error of the user's ends it in one readable line and exit status 2."""
    options = _parse(arguments)
    try:
        command.run(lambda: _try(options))
    except KeyboardInterrupt:
        sys.exit(130)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    description = "Tag a text, or each line of the input, and show the names and the sentences it was adapted on."
    parser = command.CommandParser("metaner_core.tagging.try_bundle", description, EXAMPLES)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or s3:// prefix")
    parser.add_argument("text", metavar="TEXT", nargs="*", help="what to tag (default: every line of standard input)")
    parser.add_argument("--unadapted", action="store_true", help="do not adapt the model to each sentence")
    parser.add_argument("--language", metavar="CODE", help="of all texts, such as de (default: found out)")
    return parser.parse_intermixed_args(arguments)  # options may stand before the text


def _try(options: argparse.Namespace) -> None:
    from rich.console import Console  # late, as the model is: --help waits for neither

    from metaner_core import load
    from metaner_core.tagging.terminal import show
    from metaner_core.text.rules import Rules

    _forgive(sys.stdin, "surrogateescape")  # so that a line that is no text is rejected, and the others are tagged
    _forgive(sys.stdout, "replace")
    Rules(language=options.language)  # refused at once, not after the bundle is loaded
    console = Console()
    with Console(stderr=True).status("loading the bundle"):
        tagger = load(options.bundle)
    shown = 0
    for texts in [[" ".join(options.text)]] if options.text else _lines():
        for document in tagger.tag(texts, adapted=not options.unadapted, language=options.language):
            if shown:
                console.print()
            show(console, document)
            shown += 1


def _forgive(stream: TextIO, errors: str) -> None:
    """Read or write what the terminal's encoding does not have in the way that `errors` names."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=errors)


def _lines() -> Iterator[list[str]]:
    """Lines of standard input that are not blank; of a person's each at once."""
    waiting = sys.stdin.isatty()
    if waiting:
        print("one text a line; Ctrl-D ends", file=sys.stderr)
    lines = (line.rstrip("\n") for line in sys.stdin if line.strip())
    while batch := list(islice(lines, 1 if waiting else AT_ONCE)):
        yield batch


if __name__ == "__main__":
    main()
