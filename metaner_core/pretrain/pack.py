"""Make the packed folder (see packed.py) from raw text.

python -m metaner_core.pretrain.pack --output PACKED --text en EN.txt.xz MORE.txt.gz --text de DE.txt \\
    --translations de EN-DE.tsv --set vocabulary=20000
"""

import argparse
import hashlib
import json
import sys
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from metaner_core import storage
from metaner_core.checked import overrides
from metaner_core.pretrain.packed import FORMAT, MANIFEST, TOKENIZER
from metaner_core.pretrain.settings import LARGEST_VOCABULARY, PackSettings
from metaner_core.pretrain.text import Texts, lines, pairs
from metaner_core.pretrain.vocabulary import CHUNK, fast, special_ids, tokenizer_of, train_vocabulary


def pack(
    texts: Texts,
    uri: str,
    settings: PackSettings,
    *,
    over_unfinished: bool = False,
    tell: Callable[[str], Any] = lambda line: None,
) -> dict[str, Any]:
    """Make the vocabulary, tokenise everything and write the folder. Returns its manifest.

    over_unfinished: uri may hold what an interrupted packing left. Needs 2 bytes of memory for each token of the
    largest language, and what its text has if that is kept. Raises FileExistsError when uri is taken, FileNotFoundError
    and ValueError for text that cannot be read or has too many different characters.
    """
    if not over_unfinished or storage.exists(storage.join(uri, MANIFEST)):
        storage.require_unused(uri, "packed text")
    texts = texts.resolved()
    described = texts.described()
    known = settings.tokenizer_of
    tokenizer = tokenizer_of(known, texts.mono, settings) if known else train_vocabulary(texts.mono, settings)
    size = tokenizer.get_vocab_size()
    tell(f"vocabulary: {size} pieces")
    if size > LARGEST_VOCABULARY:
        raise ValueError(f"the vocabulary has {size} pieces, its alphabet alone too many for 16 bits: lower `alphabet`")
    manifest: dict[str, Any] = {"format": FORMAT, "settings": settings.to_dict(), "vocabulary": size}
    manifest["sources"] = [[part, lang, file.rsplit("/", 1)[-1], size] for part, lang, file, size, _ in described]
    with tempfile.TemporaryDirectory(prefix="metaner-packed-") as name:
        folder = Path(name)
        fast(tokenizer).save_pretrained(folder / TOKENIZER)
        manifest["mono"] = {}
        for language, files in sorted(texts.mono.items()):
            manifest["mono"][language] = counts = _pack_mono(folder, language, lines(files), tokenizer, settings)
            tell(f"{language}: {counts}")
        manifest["pairs"] = {}
        for language, files in sorted(texts.translations.items()):
            manifest["pairs"][language] = counts = _pack_pairs(folder, language, pairs(files), tokenizer, settings)
            tell(f"en-{language}: {counts}")
        manifest["fingerprint"] = _fingerprint(folder)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        storage.publish(folder, uri, last=MANIFEST)
    return manifest


def tokenised(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The pieces of each text, without special tokens."""
    rest = iter(texts)
    while chunk := list(islice(rest, CHUNK)):
        for encoding in tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
            yield encoding.ids


def _pack_mono(
    folder: Path, language: str, texts: Iterable[str], tokenizer: Tokenizer, settings: PackSettings
) -> dict[str, int]:
    special = special_ids(tokenizer)
    ids, count = array("H"), 0
    kept = _Text() if settings.keep_text else None
    for count, pieces in enumerate(tokenised(_kept(texts, kept), tokenizer), 1):  # noqa: B007 (the last is the count)
        ids.extend(pieces)
        ids.append(special["sep"])
    if kept is not None:
        kept.save(folder, f"text.{language}")
    np.save(folder / f"mono.{language}.npy", np.frombuffer(ids, dtype=np.uint16))
    return {"lines": count, "tokens": len(ids), "unknown": ids.count(special["unk"])}


def _pack_pairs(
    folder: Path, language: str, rows: Iterable[tuple[str, str] | None], tokenizer: Tokenizer, settings: PackSettings
) -> dict[str, int]:
    """Counts: pairs + held_out + repeated + rejected = rows. What is held out is held out of every language's pairs,
    because the English side decides it; there a second translation of one sentence is left out (repeated)."""
    counts = dict.fromkeys(("pairs", "held_out", "repeated", "rejected"), 0)
    train, held, seen = _Writer(tokenizer), _Writer(tokenizer), set()
    kept = _Text()
    for row in rows:
        if row is None:
            counts["rejected"] += 1
        elif zlib.crc32(row[0].encode()) >= settings.held_out * 2**32:
            counts["pairs"] += 1
            train.add(row)
            if settings.keep_text:
                kept.add(row[0])
                kept.add(row[1])
        elif row[0] in seen:
            counts["repeated"] += 1
        else:
            counts["held_out"] += 1
            seen.add(row[0])
            held.add(row)
    if not counts["pairs"]:
        raise ValueError(f"translations of {language}: no row in two columns, English <tab> {language}; {counts}")
    train.save(folder, f"pairs.{language}")
    held.save(folder, f"held.{language}")
    if settings.keep_text:
        kept.save(folder, f"text-pairs.{language}")
    return {**counts, "tokens": len(train.ids)}


class _Text:
    """Collects lines as they are written."""

    def __init__(self) -> None:
        self.utf8, self.ends = bytearray(), array("q")

    def add(self, line: str) -> None:
        self.utf8 += line.encode()
        self.ends.append(len(self.utf8))

    def save(self, folder: Path, name: str) -> None:
        np.save(folder / f"{name}.npy", np.frombuffer(self.utf8, dtype=np.uint8))
        np.save(folder / f"{name}.ends.npy", np.frombuffer(self.ends, dtype=np.int64))


def _kept(texts: Iterable[str], kept: _Text | None) -> Iterator[str]:
    for text in texts:
        if kept is not None:
            kept.add(text)
        yield text


class _Writer:
    """Collects the pieces of pairs."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.ids, self.ends = array("H"), array("q")
        self._tokenizer, self._waiting = tokenizer, list[str]()

    def add(self, pair: tuple[str, str]) -> None:
        self._waiting += pair
        if len(self._waiting) >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        for pieces in tokenised(self._waiting, self._tokenizer):
            self.ids.extend(pieces)
            self.ends.append(len(self.ids))
        self._waiting = []

    def save(self, folder: Path, name: str) -> None:
        self._flush()
        np.save(folder / f"{name}.npy", np.frombuffer(self.ids, dtype=np.uint16))
        np.save(folder / f"{name}.ends.npy", np.frombuffer(self.ends, dtype=np.int64).reshape(-1, 2))


def _fingerprint(folder: Path) -> str:
    """Of the arrays and the tokenizer."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb") as stream:
                total.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:12]


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Options that `texts_of` reads."""
    many = {"action": "append", "nargs": "+", "default": [], "metavar": ("LANGUAGE", "FILE")}
    parser.add_argument("--text", help="a language and its files or folders: txt, gz, xz, zst; repeatable", **many)  # type: ignore[arg-type]
    parser.add_argument("--translations", help="likewise, TSV of English <tab> language", **many)  # type: ignore[arg-type]


def texts_of(options: argparse.Namespace) -> Texts:
    return Texts(mono=_by_language(options.text), translations=_by_language(options.translations))


def _by_language(groups: Sequence[Sequence[str]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for language, *files in groups:
        found[language] = (*found.get(language, ()), *files)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m metaner_core.pretrain.pack", description="Pack text as 16-bit ids."
    )
    add_text_options(parser)
    parser.add_argument("--output", required=True, help="the packed text: an unused folder or s3:// prefix")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="one of PackSettings")
    options = parser.parse_args()
    try:
        settings = PackSettings(**overrides(PackSettings, options.set))
        pack(texts_of(options), options.output, settings, tell=lambda line: print(line, flush=True))
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
