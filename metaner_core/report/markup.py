"""What the HTML pages share: templates that escape, entities in their text, names of languages.

A page loads nothing and runs no script; what documents hold is text to it, never markup.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from metaner_core.text.languages import primary
from metaner_core.text.schema import OUTCOMES, UNSURE

_LANGUAGES = {
    **{"ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish"},
    **{"de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian"},
    **{"fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian"},
    **{"id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian"},
    **{"ms": "Malay", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian"},
    **{"ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "ta": "Tamil"},
    **{"th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese"},
}


class Piece(NamedTuple):
    """A stretch of text, an entity if it has a type. Entities of the source are people's work and have no score."""

    text: str
    type: str = ""
    score: float | None = None


def pieces(text: str, start: int, end: int, entities: Iterable[Mapping[str, Any]]) -> Iterator[Piece]:
    """text[start:end] cut at its entities' offsets. Raises ValueError when they do not fit the text."""
    position = start
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        first, last = entity["start"], entity["end"]
        if not position <= first < last <= end:
            raise ValueError(f"{named(entity)} overlaps another or leaves its sentence; tag the document again")
        if text[first:last] != entity["text"]:
            raise ValueError(f"{named(entity)}, but the text there is {text[first:last]!r}; tag the document again")
        if position < first:
            yield Piece(text[position:first])
        yield Piece(entity["text"], entity["type"], entity["score"])
        position = last
    if position < end:
        yield Piece(text[position:end])


def named(entity: Mapping[str, Any]) -> str:
    """The entity, for an error message."""
    return f"entity {entity['text']!r} at {entity['start']} to {entity['end']}"


@cache
def template(name: str) -> Template:
    """A template of this folder. `style.html` and `marks.html` are for all of them."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt name is an error, not a blank
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"language": language_name, "number": "{:,}".format}
    environment.globals |= {"OUTCOMES": OUTCOMES, "UNSURE": UNSURE}
    return environment.get_template(name)


def language_name(code: str | None) -> str:
    """Its English name, or the code for one that has none here."""
    if not code:
        return "Language not given"
    variant = _LANGUAGES.get(primary(code) or "")
    return _LANGUAGES.get(code) or (f"{variant} ({code})" if variant else f"Language {code}")
