"""Which language a text is in, found out offline: the model is in the library's package."""

import functools
import re

from py3langid.langid import MODEL_FILE, LanguageIdentifier

LONGEST = 4_000  # characters that are looked at: the first ones


def identify(text: str) -> tuple[str | None, float | None]:
    """ISO 639-1 code and probability of the text's language; (None, None) when it has no letter."""
    part = text[:LONGEST]
    if not any(map(str.isalpha, part)):
        return None, None
    code, score = _identifier().classify(part)
    return code, float(score)


def primary(code: str | None) -> str | None:
    """The language of a code such as `pt-BR`: `pt`. None for None and for what is no code."""
    found = re.match(r"([a-z]{2,3})(?![a-z])", (code or "").strip().lower())
    return found.group(1) if found else None


@functools.cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_pickled_model(MODEL_FILE, norm_probs=True)
