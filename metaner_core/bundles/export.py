"""A bundle's unadapted model as other programs load it: a folder for transformers, or an ONNX file.

metaner export out/bundle --to transformers --output out/export
metaner export s3://bucket/bundle --to onnx --output s3://bucket/export

What is exported takes no step on neighbours: it tags what the bundle tags with --unadapted.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from metaner_core import command, storage
from metaner_core.bundles.model_card import card

TO = ("transformers", "onnx")
LAST = "config.json"  # without it nothing loads the folder

EXAMPLES = (
    "out/bundle --to transformers --output out/export",
    "s3://bucket/bundle --to onnx --output s3://bucket/export",
)


def export(uri: str, output: str, *, to: str) -> list[str]:
    """Write the unadapted model of the bundle at uri to output, both local or s3://. Returns what to tell of it.

    The folder has tokenizer, config.json and a card (README.md), and as `to` says model.safetensors or model.onnx.
    What was written is read back and compared with the bundle's tagger first. Raises FileExistsError when output is in
    use, FileNotFoundError or ValueError when there is no bundle, it cannot be exported, or a package is missing.
    """
    from metaner_core.bundles import bundle, onnx_file, token_classifier  # late: --help does not wait for torch

    if to == "onnx":
        onnx_file.require_packages()
    storage.require_unused(output, "model")
    loaded = bundle.load(uri)
    with tempfile.TemporaryDirectory(prefix="metaner-export-") as name:
        folder = Path(name)
        written = token_classifier.write(loaded, folder)
        lines = [f"checked: transformers' logits are the bundle's to {written.distance:.1e}"]
        if to == "onnx":
            distance = onnx_file.write(written.model, written.inputs, token_classifier.samples(loaded), folder)
            lines.append(f"checked: onnxruntime's logits are transformers' to {distance:.1e}")
            for weights in folder.glob("*.safetensors*"):
                weights.unlink()
        (folder / "README.md").write_text(card(loaded.manifest, output, exported=to), encoding="utf-8")
        storage.publish(folder, output, last=LAST)
    return [*lines, *_remarks(loaded.manifest["labels"], adapts=loaded.adapts)]


def _remarks(labels: Sequence[str], *, adapts: bool) -> list[str]:
    step = "this is the unadapted model: it takes no step on neighbours, as `--unadapted` of the other commands"
    lines = [step] if adapts else []
    if extra := [label for label in labels if label != "O" and label[:2] not in ("B-", "I-")]:
        lines.append(f"labels that are no entities, to be read as O: {', '.join(extra)} (README.md there says how)")
    return lines


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.CommandParser("metaner_core.bundles.export", "Export a bundle's unadapted model.", EXAMPLES)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or s3:// prefix")
    parser.add_argument("--to", required=True, choices=TO, help="a transformers folder, or an ONNX file")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="an unused folder or s3:// prefix")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. An error of the user's ends it in one readable line and exit status 2."""
    options = _parse(arguments)

    def tell() -> None:
        lines = export(options.bundle, options.output, to=options.to)
        command.say(f"{options.bundle} for {options.to} at {options.output}, with a card in README.md")
        for line in lines:
            command.say(line)

    command.run(tell)


if __name__ == "__main__":
    main()
