"""Raw text to sentences and words with character offsets into the original, which is never altered.

spaCy's rule-based tokenizers and its sentencizer do the work; no model is loaded. Offsets count code points, as
Python's strings do.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import spacy
from spacy.language import Language

UNKNOWN = "xx"  # spaCy's rules for no language in particular
MAX_WORDS = 256  # a longer sentence is cut into sentences of at most this many words
MAX_LETTERS = 4_096  # nor more characters in its words: it goes through the encoder as a whole, in windows
MAX_PIECE = 50_000  # characters that spaCy sees at once; a longer paragraph is cut at white space
MAX_RUN = 256  # characters without white space: spaCy's time grows with the square of a run of punctuation

# Written without spaces. Every character is a word, as in our Chinese corpora, but for Latin words and numbers, which
# the model knows whole; spaCy's own tokenizers for the others need further packages.
BY_CHARACTER = frozenset({"zh", "yue", "wuu", "lzh", "ja", "th", "lo", "km", "my"})
ALIASES = {"no": "nb", "iw": "he"}
_SPACED_WITHOUT_RULES = frozenset({"ko", "vi"})  # spaCy's rules need further packages; words are divided by spaces

_LATIN = re.compile(r"[0-9A-Za-z０-９Ａ-Ｚａ-ｚ\u00c0-\u024f]")
_BLANK_LINE = re.compile(r"(?>\r\n|\r|\n)[^\S\r\n]*(?>\r\n|\r|\n)|\u2029")
INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})  # control, format (marks, zero width), white space


@dataclass(frozen=True, slots=True)
class Word:
    """text is the original's slice start..end."""

    text: str
    start: int
    end: int


def segment(text: str, language: str | None = None, *, most: int | None = None) -> list[list[Word]]:
    """The sentences of a text, each a list of at least one and at most MAX_WORDS words of MAX_LETTERS in all.

    A blank line ends a sentence too. White space and invisible characters belong to no word, unless they stand inside
    one. language: a code such as `de` or `pt-BR`; an unknown one or None gets rules for no language in particular.
    most: stop as soon as there are more sentences than that, so a list longer than `most` is only the beginning.
    Raises TypeError when text is no string, UnicodeEncodeError when it holds half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected a string, found {type(text).__name__}")
    nlp = _rules(_code(language))
    sentences: list[list[Word]] = []
    with nlp.memory_zone():  # or spaCy keeps every string that it has ever seen
        for start, end in _pieces(text, MAX_PIECE if nlp.lang == "zh" else MAX_RUN):
            for n, sentence in enumerate(nlp(text[start:end]).sents):
                tokens = ((start + t.idx, start + t.idx + len(t.text)) for t in sentence)
                slices = _joined(text, tokens) if nlp.lang == "zh" else tokens
                words = [word for a, b in slices if (word := _word(text, a, b))]
                if words and _goes_on(text, sentences, words[0].start, n == 0, nlp):
                    words = sentences.pop() + words
                sentences += _cut(words)
            if most is not None and len(sentences) > most:
                break
    return sentences


def _code(language: str | None) -> str:
    """The part of a language code that spaCy goes by."""
    code = re.split(r"[-_]", (language or UNKNOWN).strip().lower())[0]
    code = ALIASES.get(code, code)
    if code in BY_CHARACTER:
        return "zh"
    return UNKNOWN if code in _SPACED_WITHOUT_RULES or not re.fullmatch("[a-z]{2,3}", code) else code


@functools.cache
def _rules(code: str) -> Language:
    try:
        nlp = spacy.blank(code)
    except ImportError:  # no such language, or one that needs a further package
        return _rules(UNKNOWN)
    nlp.add_pipe("sentencizer")
    return nlp


def _pieces(text: str, max_run: int) -> Iterator[tuple[int, int]]:
    """Slices of the text that hold all of it but white space; sentences never cross their borders."""
    start = end = None
    for a, b in _runs(text, max_run):
        if start is not None and end is not None and (a == end or b - start > MAX_PIECE or _parted(text, end, a)):
            yield start, end
            start = None
        start, end = a if start is None else start, b
    if start is not None and end is not None:
        yield start, end


def _runs(text: str, max_run: int) -> Iterator[tuple[int, int]]:
    """Slices without white space, of at most max_run characters."""
    for run in re.finditer(r"\S+", text):
        for at in range(run.start(), run.end(), max_run):
            yield at, min(at + max_run, run.end())


def _parted(text: str, end: int, start: int) -> bool:
    return _BLANK_LINE.search(text, end, start) is not None


def _joined(text: str, tokens: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Slices of single characters, those that make up a Latin word or a number in one slice (of at most MAX_RUN)."""
    start = end = -1
    for a, b in tokens:
        if a == end and b - start <= MAX_RUN and _LATIN.match(text, start) and _LATIN.match(text, a):
            end = b
            continue
        if end > 0:
            yield start, end
        start, end = a, b
    if end > 0:
        yield start, end


def _goes_on(text: str, sentences: list[list[Word]], start: int, piece: bool, nlp: Language) -> bool:
    """Whether the last sentence goes on at `start`: a run was cut there to be a piece, or at the point in 3.5."""
    if not sentences or sentences[-1][-1].end != start:
        return False
    if text[start - 1] == "." and nlp.lang == "zh":  # the others' rules see to it themselves
        return _LATIN.match(text, start) is not None
    return piece and text[start - 1] not in nlp.get_pipe("sentencizer").punct_chars  # type: ignore[attr-defined]


def _cut(words: list[Word]) -> Iterator[list[Word]]:
    """The words in as few lists as hold them all, no list longer than a sentence may be."""
    start = letters = 0
    for at, word in enumerate(words):
        letters += len(word.text)
        if at - start == MAX_WORDS or letters > MAX_LETTERS:
            yield words[start:at]
            start, letters = at, len(word.text)
    if words:
        yield words[start:]


def _word(text: str, start: int, end: int) -> Word | None:
    """The slice without invisible characters at its ends; None if nothing else is in it."""
    while start < end and unicodedata.category(text[start]) in INVISIBLE:
        start += 1
    while start < end and unicodedata.category(text[end - 1]) in INVISIBLE:
        end -= 1
    return Word(text[start:end], start, end) if start < end else None
