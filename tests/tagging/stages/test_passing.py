"""What one stage passes to the next: the way to Arrow and back changes nothing, whatever a document holds."""

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.model.encoding import Encoded
from metaner_core.model.inputs import Input, Inputs
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.tagging.stages import passing
from metaner_core.tagging.stages.making import make
from metaner_core.tagging.stages.parts import Found, Made
from metaner_core.tagging.stages.predicting import predict
from metaner_core.tagging.stages.rows import row
from metaner_core.text.document import Document
from metaner_core.text.outcomes import Ready
from metaner_core.text.rules import Rules

ODD = [
    Document("a", "La alcaldesa Rosa Vidal habló en Zaragoza.\n\nEl Ebro crece. Rosa Vidal calló.", "es", '{"n": [1]}'),
    Document("\ud800", "Ana vive.", None, '{"\udc00": 1}'),
    Document("c", " \n"),
    Document("d", "王小明在北京工作。𝔘nd er ging nach 上海。"),
    Document("e", None, problem="gzip: cut off\ud800"),
    Document("f", "Jose\u0301 vive en Ma\u0301laga\u202c. \u200f"),
    Document("g", "half \ud800 of a pair", "de"),
    Document("h", "Maria ging nach Bremen und " * 30, "de-AT"),
    Document("i", "x" * 400, "no language"),
    Document("", "Ana."),
]
RULES = Rules(max_characters=2_000)


@pytest.fixture(scope="module")
def tiny(tiny_bundle: str) -> Bundle:
    return bundle.load(tiny_bundle)


def sent(table: pa.Table) -> pa.Table:
    """The table in a process that it was sent to: in pieces, from bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=3)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def there_and_back(made: Made, model: Bundle) -> Made:
    texts, inputs = sent(passing.texts(made)), sent(passing.inputs(made))
    return Made(passing.documents(texts), passing.sentences(inputs, model.encode))


def as_lists(made: Made) -> Made:
    return Made(made.documents, [its if isinstance(its, str) else list(its) for its in made.inputs])


def test_odd_documents_come_back_as_they_were_made(tiny: Bundle) -> None:
    made = make(tiny.inputs, ODD, RULES)
    assert 3 < sum(isinstance(document, Ready) for document in made.documents) < len(ODD)
    assert any(len(s.tagging.windows) > 1 for its in made.inputs for s in its)
    assert there_and_back(made, tiny) == as_lists(made)


def test_windows_come_back_as_the_settings_have_them(tiny: Bundle) -> None:
    """Which they do not bring along."""
    changed = dataclasses.replace(tiny.settings, window=4, window_context=2, last_window="after_full")
    inputs = Inputs(tiny.tokenizer, changed)
    made = make(inputs, ODD, RULES)
    assert any(s.tagging.windows[-1].fresh == s.tagging.windows[-1].stop for its in made.inputs for s in its)
    assert passing.sentences(sent(passing.inputs(made)), inputs.encode) == [list(its) for its in made.inputs]


def test_any_stretch_of_a_table_comes_back(tiny: Bundle) -> None:
    made = make(tiny.inputs, ODD, RULES)
    texts, inputs = sent(passing.texts(made)), sent(passing.inputs(made))
    for start, stop in ((0, 1), (1, 5), (3, 9), (9, 10), (4, 4)):
        part = slice(start, stop)
        assert passing.documents(texts.slice(start, stop - start)) == made.documents[part]
        assert passing.sentences(inputs.slice(start, stop - start), tiny.encode) == as_lists(made).inputs[part]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.text(max_size=40), st.none() | st.text(max_size=9)), max_size=6))
def test_any_text_comes_back_as_it_was_made(tiny: Bundle, given_: list[tuple[str, str | None]]) -> None:
    documents = [Document(text[:3], text, language, text) for text, language in given_]
    made = make(tiny.inputs, documents, RULES)
    assert there_and_back(made, tiny) == as_lists(made)


def test_retrieval_s_own_subwords_are_passed_on_and_what_a_document_lacks(tiny: Bundle) -> None:
    ready = Ready(Document("a", "x y"), [[], []], None, None)
    lengths = (1, tiny.settings.window + 3)
    encoded = [Encoded((7,) * n, (0,) * n, (0,), None, tiny.encode.windows(n)) for n in lengths]
    own = [Input(encoded[0], (5, 6)), Input(encoded[1], ())]
    made = Made([ready, ready, ready], [own, "model: KeyError: \ud800", [Input(encoded[0])]])
    assert passing.sentences(sent(passing.inputs(made)), tiny.encode) == made.inputs


@pytest.mark.parametrize("adapted", [True, False])
def test_rows_of_stages_apart_are_those_of_one_process(tiny: Bundle, adapted: bool) -> None:
    made = make(tiny.inputs, ODD, RULES)
    found = predict(tiny, passing.sentences(sent(passing.inputs(made)), tiny.encode), adapted=adapted)
    documents = passing.documents(sent(passing.texts(made)))
    words = [[len(s) for s in d.sentences] if isinstance(d, Ready) else [] for d in documents]
    back = passing.found(sent(passing.found_table(found)), words)
    assert back == found
    assert list(map(row, documents, back)) == tag_documents(tiny, ODD, rules=RULES, adapted=adapted)


def test_problems_and_neighbours_of_any_number_come_back() -> None:
    found = [
        [Found(1, ("O", "B-PER"), (0.5, 0.25), ((3, 0.1), (1, -0.7))), Found(2, ("O",), (1.0,))],
        "model: RuntimeError: no\ud800",
        [],
    ]
    assert passing.found(sent(passing.found_table(found)), [[2, 1], [], []]) == found
