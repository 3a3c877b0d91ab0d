"""Which documents are tagged, and as what language."""

from dataclasses import dataclass

from metaner_core.text.languages import primary

FLOW, BLOCK = LINES = ("flow", "block")  # lines are broken to fit a width; each line is a block of the page


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which documents are tagged, and as what language. Raises ValueError listing every bad field at once.

    language: that of all documents, whatever they say themselves. languages: only these are tagged, None: all; `de`
    stands for `de-AT`, `deu` and `German` too, `zh` for all of Chinese. min_characters, max_characters, max_sentences:
    of a document. identify: find out the language of a document that gives none that can be read. lines: `block`: a
    line ends a sentence, as on a web page; `flow`, which None stands for: only a blank line does.
    """

    language: str | None = None
    languages: tuple[str, ...] | None = None
    min_characters: int = 1
    max_characters: int = 1_000_000
    max_sentences: int = 10_000
    identify: bool = True
    lines: str | None = None

    def __post_init__(self) -> None:
        bad = [
            f"{name} is {value}; least is {least}"
            for name, least in (("min_characters", 0), ("max_characters", 1), ("max_sentences", 1))
            if (value := getattr(self, name)) < least
        ]
        if self.min_characters > self.max_characters:
            bad.append(f"min_characters is {self.min_characters}, above max_characters, {self.max_characters}")
        codes = [code for code in (self.language, *(self.languages or ())) if code is not None]
        bad += [
            f"{code!r} is no language that is known; write a code like de or pt-BR, or a name like German"
            for code in codes
            if not primary(code)
        ]
        if self.languages is not None and not self.languages:
            bad.append("languages is empty, so nothing would be tagged; name some, or None for all")
        if self.lines not in (None, *LINES):
            bad.append(f"lines is {self.lines!r}; there are {' and '.join(LINES)}")
        if bad:
            raise ValueError("rules:\n  " + "\n  ".join(bad))


DEFAULT = Rules()
