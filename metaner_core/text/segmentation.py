"""Raw text to sentences and words with character offsets into the original, which is never altered.

Sentences end where `sentence_ends` says, words where spaCy's rule-based tokenizers do; no model is loaded. Both see the
text in NFC, so that texts which Unicode calls equal are cut alike. Offsets count code points, as Python's strings do.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import spacy
from spacy.language import Language
from spacy.pipeline import Sentencizer

from metaner_core.text.canonical import canonical, joins
from metaner_core.text.document import Word
from metaner_core.text.languages import primary, wider
from metaner_core.text.rules import BLOCK, FLOW
from metaner_core.text.sentence_ends import sentences

UNKNOWN = "xx"  # spaCy's rules for no language in particular
MAX_WORDS = 256  # a longer sentence is cut into sentences of at most this many words
MAX_LETTERS = 4_096  # nor more characters in its words: it goes through the encoder as a whole, in windows
MAX_PIECE = 20_000  # characters in which sentences are looked for at once: unpaired quotes cost the square of it
MAX_RUN = 256  # characters without white space: spaCy's time grows with the square of a run of punctuation

# Written without spaces. Every character is a word, as in our Chinese corpora, but for Latin words and numbers, which
# the model knows whole; spaCy's own tokenizers for the others need further packages.
BY_CHARACTER = frozenset({"zh", "ja", "th", "lo", "km", "my"})
ALIASES = {"no": "nb", "ku": "kmr"}
_SPACED_WITHOUT_RULES = frozenset({"ko", "vi"})  # spaCy's rules need further packages; words are divided by spaces

_LATIN = re.compile(r"[0-9A-Za-z０-９Ａ-Ｚａ-ｚ\u00c0-\u024f]")
_LINE_END = r"(?>\r\n|[\r\n\v\f\x85\u2028])"
_GAPS = {FLOW: re.compile(rf"{_LINE_END}\s*?{_LINE_END}|\u2029"), BLOCK: re.compile(rf"{_LINE_END}|\u2029")}
LEADING = frozenset("เแโใไເແໂໃໄ")
INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})  # control, format (marks, zero width), white space
# Signs that end a sentence in some script, all but the full stop, are words of their own: spaCy's list, and Tibetan's.
_ENDS = "".join({*Sentencizer.default_punct_chars} - {"."}) + "\u0f0d-\u0f12\u0f14\u17d4\u17d5"
_ENDED = re.compile(f"(.*[^{_ENDS}])([{_ENDS}]+)", re.DOTALL)


def segment(text: str, language: str | None = None, *, lines: str = FLOW, most: int | None = None) -> list[list[Word]]:
    """The sentences of a text, each a list of at least one and at most MAX_WORDS words of MAX_LETTERS in all.

    A blank line ends a sentence too, and with lines=BLOCK every line does. White space and invisible characters belong
    to no word, unless they stand inside one. language: as `languages.primary` reads it; an unknown one or None gets
    rules for no language in particular. most: stop as soon as there are more sentences than that, so a list longer
    than `most` is only the beginning. Raises TypeError when text is no string, UnicodeEncodeError when it holds half of
    a surrogate pair, ValueError when a library fails on it.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected a string, found {type(text).__name__}")
    text.encode()
    plain, borders = canonical(text)
    nlp = _rules(_code(language))
    found: list[list[Word]] = []
    with nlp.memory_zone():  # or spaCy keeps every string that it has ever seen
        for start, end in _sentences(plain, primary(language) or UNKNOWN, lines):
            found += _cut([*_words(plain, start, end, nlp)])
            if most is not None and len(found) > most:
                break
    if borders is None:
        return found
    placed = ([_given(text, borders[w.start], borders[w.end]) for w in sentence] for sentence in found)
    return [words for sentence in placed if (words := [word for word in sentence if word.text])]


def _given(text: str, start: int, end: int) -> Word:
    return Word(text[start:end], start, end)


def _code(language: str | None) -> str:
    """What spaCy goes by."""
    code = primary(language) or UNKNOWN
    if code in BY_CHARACTER or wider(code) in BY_CHARACTER:
        return "zh"
    return UNKNOWN if code in _SPACED_WITHOUT_RULES else ALIASES.get(code, code)


@functools.cache
def _rules(code: str) -> Language:
    try:
        nlp = spacy.blank(code)
    except ImportError:  # no such language, or one that needs a further package
        return _rules(wider(code) or UNKNOWN)
    # What each new word is like (a number, a URL, ...) takes spaCy a fifth of the time, and nobody asks.
    nlp.vocab.lex_attr_getters = {}  # type: ignore[attr-defined]
    return nlp


def _sentences(text: str, language: str, lines: str) -> Iterator[tuple[int, int]]:
    """Slices, from one gap between blocks to the next."""
    at = 0
    for gap in _GAPS[lines].finditer(text):
        yield from _of_block(text, at, gap.start(), language)
        at = gap.end()
    yield from _of_block(text, at, len(text), language)


def _of_block(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """Looked for in at most MAX_PIECE characters at once; the last one of these goes on in the next."""
    while start < end:
        stop = end if end - start <= MAX_PIECE else text.rfind(" ", start + 1, start + MAX_PIECE) + 1
        stop = stop or start + MAX_PIECE
        found = [(start + a, start + b) for a, b in sentences(text[start:stop], language)]
        if stop < end and len(found) > 1:
            found.pop()
        yield from found
        start = found[-1][1]


def _words(text: str, start: int, end: int, nlp: Language) -> Iterator[Word]:
    """Of one sentence."""
    words: list[Word] = []
    for a, b in _pieces(text, start, end, MAX_PIECE if nlp.lang == "zh" else MAX_RUN):
        tokens = ((a + t.idx, a + t.idx + len(t.text)) for t in nlp.make_doc(text[a:b]))
        slices = _joined(text, tokens) if nlp.lang == "zh" else tokens
        words += [word for slice_ in _attached(text, slices) if (word := _word(text, *slice_))]
    last = max((n for n, word in enumerate(words) if any(map(str.isalnum, word.text))), default=-1)
    for n, word in enumerate(words):
        yield from _ended(word, nlp, last=n == last)


def _pieces(text: str, start: int, end: int, max_run: int) -> Iterator[tuple[int, int]]:
    """Slices that hold all of it but white space, none with more than max_run characters between white space."""
    begin = before = start
    for run in re.compile(r"\S+").finditer(text, start, end):
        if run.end() - run.start() > max_run:
            if begin < before:
                yield begin, before
            for at in range(run.start(), run.end(), max_run):
                yield at, min(at + max_run, run.end())
            begin = run.end()
        before = run.end()
    if begin < before:
        yield begin, before


def _joined(text: str, tokens: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Slices of single characters, those that make up a Latin word or a number in one slice."""
    return _merged(tokens, lambda start, a: bool(_LATIN.match(text, start) and _LATIN.match(text, a)))


def _attached(text: str, slices: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Slices that begin with a mark joined to the one before, which it belongs to."""
    return _merged(slices, lambda start, a: joins(text[a]))


def _merged(slices: Iterable[tuple[int, int]], together: Callable[[int, int], bool]) -> Iterator[tuple[int, int]]:
    """Slices that touch in one, of at most MAX_RUN characters, where `together` says so of their beginnings."""
    start = end = -1
    for a, b in slices:
        if a == end and b - start <= MAX_RUN and together(start, a):
            end = b
            continue
        if end > 0:
            yield start, end
        start, end = a, b
    if end > 0:
        yield start, end


def _ended(word: Word, nlp: Language, *, last: bool) -> Iterator[Word]:
    """The word, and apart from it the signs that end a sentence. last: of its sentence but for marks.

    spaCy takes a full stop off after the letters of the scripts that it lists, and leaves it where it abbreviates. Of
    others (José with a mark of its own, Georgian, vowelled Arabic) the last word of a sentence does not abbreviate.
    """
    found = _ENDED.fullmatch(word.text)
    stem = found[1] if found else word.text[:-1]
    letters = sum(map(str.isalpha, stem))
    known = getattr(nlp.tokenizer, "rules", None) or {}  # Chinese has none
    stop = last and word.text[-1] == "." and letters > 1 and "." not in stem and word.text not in known
    if not found and not (stop and not stem[-1].isupper()):
        yield word
        return
    at = word.start + len(stem)
    for start, end in ((word.start, at), (at, word.end)):
        if part := _word(word.text, start - word.start, end - word.start):
            yield Word(part.text, word.start + part.start, word.start + part.end)


def _cut(words: list[Word]) -> Iterator[list[Word]]:
    """The words in lists, no list longer than a sentence may be."""
    start = 0
    while start < len(words):
        stop = _stop(words, start)
        yield words[start:stop]
        start = stop


def _stop(words: list[Word], start: int) -> int:
    """Where a list that begins at start ends: in its second half at white space, if it has to end before the last word.

    Thai and Lao have no other mark of a sentence's end. Where there is no space at all, a vowel that is written before
    its consonant stays with it.
    """
    letters = 0
    for most in range(start, len(words)):
        letters += len(words[most].text)
        if most > start and (most - start == MAX_WORDS or letters > MAX_LETTERS):
            break
    else:
        return len(words)
    spaces = (at for at in range(most, (start + most) // 2, -1) if words[at - 1].end < words[at].start)
    whole = (at for at in range(most, start, -1) if words[at - 1].text not in LEADING)
    return next(chain(spaces, whole), most)


def _word(text: str, start: int, end: int) -> Word | None:
    """The slice without invisible characters at its ends; None if nothing else is in it."""
    while start < end and unicodedata.category(text[start]) in INVISIBLE:
        start += 1
    while start < end and unicodedata.category(text[end - 1]) in INVISIBLE:
        end -= 1
    return Word(text[start:end], start, end) if start < end else None
