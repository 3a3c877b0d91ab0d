"""What becomes of a document before the model sees it: its sentences, or the row that says why it has none.

Checks go from cheap to dear: what a rule turns away is neither identified nor segmented in vain.
"""

import unicodedata

from metaner_core.text import schema
from metaner_core.text.document import Document, Row
from metaner_core.text.languages import among, identify
from metaner_core.text.outcomes import Ready, as_given, rejected, untagged
from metaner_core.text.rules import FLOW, Rules
from metaner_core.text.segmentation import INVISIBLE, segment


def screen(document: Document, rules: Rules) -> Ready | Row:
    """The document's sentences, or its row if it is not to be tagged. No text makes it raise."""
    turned_away = _text_problem(document, rules)
    if turned_away:
        return turned_away
    assert document.text is not None
    language, score = _language(document, rules)
    if rules.languages is not None and not among(language, rules.languages):
        reason = f"{language or 'an unknown language'} is not among {', '.join(rules.languages)}"
        return untagged(document, schema.FILTERED, "language", reason, language, score)
    try:
        sentences = segment(document.text, language, lines=rules.lines or FLOW, most=rules.max_sentences)
    except Exception as error:  # whatever the text does to the tokenizer, the batch goes on
        return untagged(document, schema.REJECTED, "segmentation", str(error), language, score)
    if len(sentences) > rules.max_sentences:
        reason = f"more than {rules.max_sentences} sentences"
        return untagged(document, schema.FILTERED, "length", reason, language, score)
    if not sentences:
        return untagged(document, schema.EMPTY)
    return Ready(document, sentences, language, score)


def _text_problem(document: Document, rules: Rules) -> Row | None:
    """The row of a document whose text itself settles what becomes of it."""
    text = document.text
    if document.problem is not None:
        return rejected(document, document.problem)
    if not isinstance(text, str):
        return rejected(document, f"text: expected a string, found {_kind(text)}")
    if len(text) > rules.max_characters:
        return untagged(document, schema.FILTERED, "length", f"{len(text)} characters, most is {rules.max_characters}")
    if all(unicodedata.category(character) in INVISIBLE for character in text):
        return untagged(document, schema.EMPTY)
    if len(text) < rules.min_characters:
        return untagged(document, schema.FILTERED, "length", f"{len(text)} characters, least is {rules.min_characters}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return rejected(document, f"text: half of a surrogate pair at character {error.start}, which is no text")
    return None


def _language(document: Document, rules: Rules) -> tuple[str | None, float | None]:
    """The document's language, and its probability if it had to be identified."""
    given = as_given(rules.language) or as_given(document.language)
    if given or not rules.identify:
        return given, None
    assert document.text is not None
    return identify(document.text)


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
