"""Raw text for pre-training: the lines of each language and translation pairs; plain, gz, xz or zst, local or s3://."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from metaner_core.text.raw import files, info, lines

__all__ = ["Texts", "lines", "pairs"]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Where the text is. mono: files or folders of each language. translations: TSV files or folders, English first
    and the language second. Raises ValueError for no text, or translations of English."""

    mono: Mapping[str, Sequence[str]]
    translations: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.mono or not all(self.mono.values()):
            raise ValueError("no text: name each language with one file or more, as in --text en FILE --text de FILE")
        if "en" in self.translations:
            raise ValueError("translations of English into `en`: name the language of the second column")

    @property
    def languages(self) -> list[str]:
        return sorted({*self.mono, *self.translations, *(["en"] if self.translations else [])})

    def resolved(self) -> "Texts":
        """The same with folders replaced by their files. Raises FileNotFoundError for what is not there."""
        mono, translations = (
            {language: tuple(file for uri in uris for file in files(uri)) for language, uris in part.items()}
            for part in (self.mono, self.translations)
        )
        return Texts(mono=mono, translations=translations)

    def described(self) -> list[tuple[str, str, str, int, int]]:
        """Every file's part, language, uri, bytes and time of change: what two runs on the same text have in common."""
        rows = []
        for part, languages in (("mono", self.mono), ("translations", self.translations)):
            for language, uris in sorted(languages.items()):
                for uri in uris:
                    facts = info(uri)
                    rows.append((part, language, uri, facts.size or 0, facts.mtime_ns or 0))
        return rows


def pairs(uris: Iterable[str]) -> Iterator[tuple[str, str] | None]:
    """English and the other language of each row; None for a row that is not two columns with text in both."""
    for line in lines(uris):
        columns = [column.strip() for column in line.split("\t")]
        yield (columns[0], columns[1]) if len(columns) == 2 and all(columns) else None
