"""A bundle in a Python program: texts in, typed documents out, without Ray. `metaner_core.load` is the way in.

The rows of a tagging job and these documents come from the same pipeline, so that they say the same.
"""

import os
from collections.abc import Iterable, Sequence

import torch

from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.engine.config import EngineConfig
from metaner_core.tagging.batches import batches
from metaner_core.tagging.documents import TaggedDocument, tagged_document
from metaner_core.tagging.pipeline import tag_documents, tag_ready
from metaner_core.tagging.words import TaggedWords, listed, screen_words, tagged_words
from metaner_core.text.document import Document
from metaner_core.text.languages import primary
from metaner_core.text.outcomes import Ready
from metaner_core.text.rules import DEFAULT, Rules

BATCH = 4_096  # texts that go through the model together at most; batches.BATCH_CHARACTERS bounds long ones
NAMED = 5  # languages that are none which an error names


class BundleTagger:
    """Tags with one bundle. bundle: with its source sentences, settings and manifest."""

    def __init__(self, loaded: Bundle) -> None:
        self.bundle = loaded

    def tag(
        self,
        texts: Iterable[str | None],
        *,
        adapted: bool = True,
        language: str | Sequence[str | None] | None = None,
        rules: Rules = DEFAULT,
    ) -> list[TaggedDocument]:
        """One document for each text, in order; one that cannot be tagged, None among them, says why.

        adapted=False: the meta-trained model as it is, without neighbours; so does a bundle without source sentences,
        a distilled one, in any case. language: a code such as `de` for all texts,
        or for each its own; None: to be found out. rules: which texts are tagged. Raises TypeError for what is no list
        of texts, ValueError for what is no language or for another number of languages than texts, and the model's
        own error when it can tag nothing any more.
        """
        given = listed(texts)
        if given is None:
            raise TypeError(f"texts is of type {_kind(texts)}, not a list of strings; give one text as [text]")
        codes = _codes(language, len(given))
        pieces = enumerate(zip(given, codes, strict=True))
        documents = [Document(str(n), text, code) for n, (text, code) in pieces]  # type: ignore[arg-type]
        found: list[TaggedDocument] = []
        for batch in batches(documents, BATCH, _characters):
            rows = tag_documents(self.bundle, batch, rules=rules, adapted=adapted)
            pairs = zip(rows, batch, strict=True)
            found += [tagged_document(row, document.text, self.bundle.source) for row, document in pairs]
        return found

    def tag_words(self, sentences: Iterable[Sequence[str]], *, adapted: bool = True) -> list[TaggedWords]:
        """One result for each sentence, in order; one that cannot be tagged says why. adapted: as for `tag`.

        sentences: lists of words, which are kept exactly: nothing is divided, joined or left out. Raises TypeError for
        what is no list of lists.
        """
        screened = [screen_words(words) for words in _sentences(sentences)]
        ready = [sentence for sentence in screened if isinstance(sentence, Ready)]
        found: list[TaggedWords] = []
        for batch in batches(ready, BATCH, lambda sentence: _characters(sentence.document)):
            rows = tag_ready(self.bundle, batch, adapted=adapted)
            found += [tagged_words(*pair, self.bundle.source) for pair in zip(rows, batch, strict=True)]
        tagged = iter(found)
        return [next(tagged) if isinstance(sentence, Ready) else sentence for sentence in screened]


def load(
    uri: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    engine: str = "batched",
) -> BundleTagger:
    """As `metaner_core.load`."""
    config = EngineConfig(engine, precision)
    place = _device(device)
    name = os.fspath(uri)
    loaded = bundle.load(storage.absolute(name), device=place, config=config)
    _ = loaded.engine  # made now: it may refuse the precision, and the first call to tag need not wait for it
    return BundleTagger(loaded)


def _device(name: torch.device | str) -> torch.device:
    """Raises ValueError when there is no such device here."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"device {str(name)!r} is unknown; give cpu, cuda or cuda:1")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= there:
        raise ValueError(f"device {str(name)!r}: torch sees {there} CUDA devices on this machine; give cpu")
    return device


def _sentences(sentences: object) -> list[object]:
    """Raises TypeError for a list of words where a list of such lists is meant."""
    given = listed(sentences)
    if given is None:
        raise TypeError(
            f"sentences is of type {_kind(sentences)}, not a list of lists of words; give [['Ana', 'Ruiz']]"
        )
    for n, sentence in enumerate(given):
        if isinstance(sentence, str | bytes):
            raise TypeError(f"sentence {n} is {_kind(sentence)}, not a list of words; give one sentence as [words]")
    return given


def _codes(language: object, texts: int) -> list[object]:
    """The language of each text. Raises ValueError for another number of them, and naming what is none."""
    each = listed(language)
    codes = [language] if each is None else each
    wrong = [code for code in codes if code is not None and not (isinstance(code, str) and primary(code))]
    if wrong:
        named = ", ".join(dict.fromkeys(map(repr, wrong[:NAMED])))
        raise ValueError(f"no language: {named}; write one like de, pt-BR or German, or None to have it found out")
    if each is not None and len(each) != texts:
        raise ValueError(f"{len(each)} languages for {texts} texts; give one for all of them, or one for each")
    return codes * texts if each is None else each


def _characters(document: Document) -> int:
    return len(document.text) if isinstance(document.text, str) else 0


def _kind(value: object) -> str:
    return type(value).__name__
