"""The one form (NFC) of texts that Unicode calls equal, and the way back to where each of its characters stands.

`é` may be one character or `e` and an accent. What the model sees and what sentences and words are cut from is the
first; offsets are those of the text as it was given.
"""

import functools
import unicodedata
from collections.abc import Iterator, Sequence

# What has no letter of its own, but no mark, and composes with the letter before it: jamo, and vowels of Kirat Rai.
_JOINING = (range(0x1160, 0x1200), range(0x16D63, 0x16D6B))


def canonical(text: str) -> tuple[str, Sequence[int] | None]:
    """The text in NFC and, for each border between its characters (and at both ends), the offset in the text.

    None instead of offsets where they are the same. Borders ascend; within what composes differently from how it was
    written they are as near as can be, and may coincide.
    """
    if unicodedata.is_normalized("NFC", text):
        return text, None
    parts: list[str] = []
    borders = [0]
    for start, end in _clusters(text):
        part = unicodedata.normalize("NFC", text[start:end])
        parts.append(part)
        # From the end on, for it is at the beginning that characters become one.
        borders += [max(start + 1, end - len(part) + n) for n in range(1, len(part) + 1)]
    return "".join(parts), borders


def normal(word: str) -> str:
    """In NFC; a word stays one."""
    return unicodedata.normalize("NFC", word)


def joins(character: str) -> bool:
    """Whether it belongs to the character before it: a mark, or what may be composed with that one."""
    return unicodedata.category(character)[0] == "M" or any(ord(character) in some for some in _JOINING)


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Slices that each begin with a character that composes with none before it."""
    known = functools.cache(joins)
    start = 0
    for at in range(1, len(text)):
        if not known(text[at]):
            yield start, at
            start = at
    if text:
        yield start, len(text)
