"""The command `metaner`: each job by its name, and the tools that need no Ray."""

import difflib
import importlib
import platform
import sys
from collections.abc import Sequence

from metaner_core import __version__
from metaner_core.command import PROGRAM, run

COMMANDS = {  # name: module whose main() it is, and what it does
    "meta-train": ("jobs.meta_train", "English labels in, a bundle out"),
    "fine-tune": ("jobs.fine_tune", "a bundle and a share of a target language's labels in, a bundle out"),
    "distill": ("jobs.distill", "tagged documents and English labels in, a bundle out that tags without neighbours"),
    "self-train": ("jobs.self_train", "documents and English labels in, rounds of tagging and distilling"),
    "evaluate": ("jobs.evaluate", "score a bundle on labelled corpora, unadapted and adapted"),
    "compare": ("metaner_core.experiments.compare", "what taggers find that another does not, by names and intervals"),
    "tag": ("jobs.bulk_tag", "tag documents: WET, JSONL, Parquet, text in, Parquet out"),
    "experiment": ("jobs.experiment", "a grid of trainings and evaluations in, tables and a report out"),
    "try": ("metaner_core.tagging.try_bundle", "tag a text on the command line, names coloured, neighbours below"),
    "export": ("metaner_core.bundles.export", "a bundle's unadapted model for transformers or ONNX"),
    "card": ("metaner_core.bundles.model_card", "a bundle's model card"),
    "pretrain": ("jobs.pretrain_encoder", "raw text in, a small encoder out"),
    "demo": ("jobs.demo", "the whole road in minutes on embedded data"),
    "corpora": ("metaner_core.data.corpora", "check labelled files and count what is in them"),
    "neighbours": ("metaner_core.bundles.neighbours", "what retrieval finds: similarity, support sets, entity types"),
    "bench": ("metaner_core.engine.bench.__main__", "how fast tagging and meta-training are on this machine"),
}
EXAMPLES = (
    'metaner try out/bundle "Angela Merkel besuchte Paris."',
    "metaner tag --bundle out/bundle --input documents.jsonl --output out/tagged",
    "metaner meta-train --preset embedded --corpus conll2003-en --data DATA --output out/bundle",
)


def told() -> str:
    """The help."""
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            "examples:",
            *(f"  {example}" for example in EXAMPLES),
            "",
            f"usage: {PROGRAM} COMMAND [OPTIONS]    ({PROGRAM} COMMAND --help for its options, {PROGRAM} --version)",
            "",
            *(f"  {name:<{width}}{what}" for name, (_, what) in COMMANDS.items()),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that is named first with the options after it, as `python -m` of its module would."""
    name, *rest = arguments or sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(told())
    elif name == "--version":
        print(f"{PROGRAM} {__version__} (Python {platform.python_version()})")
    elif name in COMMANDS:
        sys.argv = [f"{PROGRAM} {name}", *rest]
        run(lambda: sys.exit(importlib.import_module(COMMANDS[name][0]).main()))
    else:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        sys.exit(f"error: {name!r} is no command of {PROGRAM}; {meant}")


if __name__ == "__main__":
    main()
