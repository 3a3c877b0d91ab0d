"""Which words of a sentence touch on paper, for a list of words does not say where the spaces were.

Their characters decide: Han, Kana, Bopomofo, Thai, Lao, Khmer and Burmese are written without spaces. Latin words,
numbers and marks that stand among them touch them too, as in 在iPhone上.
"""

import re
from collections.abc import Iterator, Sequence

# By blocks of code points, the punctuation and the full-width forms of East Asia among them: a library's tables change
# with its version, and with them the subwords of a bundle. Hangul has spaces.
_WITHOUT_SPACES = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u2e80-\u312f\u3190-\u9fff\uf900-\ufaff"  # Han, Kana, Bopomofo and what is with them
    "\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uff9f\uffe0-\uffef"  # vertical, small, full-width and half-width forms
    "\U0001aff0-\U0001b16f\U0001f200-\U0001f2ff\U00020000-\U0003ffff"  # more Kana and Han
    "]"
)


def without_spaces(text: str) -> bool:
    """Whether a character of a script without spaces is in it."""
    return _WITHOUT_SPACES.search(text) is not None


def runs(words: Sequence[str], most: int) -> Iterator[range]:
    """The words' indices in ranges of at most `most` words that touch, in order; a word that touches none is alone.

    Words touch where both facing characters are of scripts without spaces. In a sentence that is mostly of such scripts
    (at least as many words begin so as with another letter) all touch, but for Latin words and numbers next to each
    other. Where these are single characters they touch too: 2 0 0 8 年, in a corpus that is divided into characters.
    """
    begins, ends = ([without_spaces(word[at]) for word in words] for at in (slice(1), slice(-1, None)))
    others = sum(word[:1].isalpha() and not begin for word, begin in zip(words, begins, strict=True))
    mostly = sum(begins) > 0 and sum(begins) >= others
    start = 0
    for at in range(1, len(words)):
        touch = ends[at - 1] and begins[at]
        if at - start == most or not (touch or (mostly and _joined(words[at - 1], words[at]))):
            yield range(start, at)
            start = at
    if words:
        yield range(start, len(words))


def _joined(before: str, after: str) -> bool:
    """Whether two words touch in a sentence that is mostly without spaces."""
    facing = before[-1:] + after[:1]
    apart = facing.isalnum() and not without_spaces(facing) and len(before) + len(after) > 2
    return len(facing) == 2 and not apart
