"""What is kept of the model's certainty: each word's probabilities of all labels, adapted and before."""

from collections.abc import Sequence

import numpy as np
import pytest

from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.data.labels import bio_labels
from metaner_core.tagging.pipeline import Document, tag_documents
from metaner_core.tagging.stages.parts import Found
from metaner_core.tagging.stages.passing import found, found_table
from metaner_core.text.schema import Keep, tables
from tests.support.outspoken import outspoken

DOCUMENTS = [
    Document("es", "La alcaldesa Rosa Vidal habló en Zaragoza.\n\nEl Ebro crece. Rosa Vidal calló.", "es"),
    Document("long", "Maria ging nach Bremen und " * 30, "de"),
    Document("zh", "王小明在北京工作。他昨天去了上海。", "zh"),
]
BOTH = Keep(probabilities=True, unadapted=True)


@pytest.fixture(scope="module")
def tiny(tiny_bundle: str, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(outspoken(tiny_bundle, tmp_path_factory.mktemp("kept")))


def kept(rows: Sequence[dict], name: str) -> list[np.ndarray]:
    """Of each sentence: [words, labels]."""
    sentences = [sentence for row in rows for sentence in row["sentences"]]
    return [np.array(sentence[name]).reshape(len(sentence["tokens"]), -1) for sentence in sentences]


def test_they_are_those_of_the_labels_that_were_given(tiny: Bundle) -> None:
    rows = tag_documents(tiny, DOCUMENTS, keep=BOTH)
    names = bio_labels(tiny.settings.types)
    sentences = [sentence for row in rows for sentence in row["sentences"]]
    for sentence, distributions in zip(sentences, kept(rows, "probabilities"), strict=True):
        assert distributions.shape == (len(sentence["tokens"]), len(names))
        assert distributions.sum(1) == pytest.approx(1, abs=5e-3)
        for token, own in zip(sentence["tokens"], distributions, strict=True):
            assert names[own.argmax()][2:] == token["label"][2:]  # an I- that goes on with nothing is a B-
    entities = [(e, row) for row in rows for e in row["entities"]]
    assert len({entity["type"] for entity, _ in entities}) > 1
    for entity, row in entities:
        tokens = row["sentences"][entity["sentence"]]
        own = np.array(tokens["probabilities"]).reshape(len(tokens["tokens"]), -1)
        inside = [n for n, t in enumerate(tokens["tokens"]) if entity["start"] <= t["start"] < entity["end"]]
        assert own[inside].max(1).min() == pytest.approx(entity["score"], abs=1e-3)


def test_those_before_are_what_the_unadapted_model_gives(tiny: Bundle) -> None:
    before = kept(tag_documents(tiny, DOCUMENTS, keep=BOTH), "unadapted")
    alone = kept(tag_documents(tiny, DOCUMENTS, adapted=False, keep=Keep(probabilities=True)), "probabilities")
    after = kept(tag_documents(tiny, DOCUMENTS, keep=BOTH), "probabilities")
    for a, b in zip(before, alone, strict=True):
        assert a == pytest.approx(b, abs=1e-3)
    assert max(np.abs(a - b).max() for a, b in zip(before, after, strict=True)) > 1e-3


def test_keeping_changes_nothing_else(tiny: Bundle) -> None:
    with_, without = tag_documents(tiny, DOCUMENTS, keep=BOTH), tag_documents(tiny, DOCUMENTS)
    for row in with_:
        for sentence in row["sentences"]:
            assert sentence.pop("probabilities") != sentence.pop("unadapted")
    assert with_ == without


def test_they_pass_from_stage_to_stage_and_into_the_table(tiny: Bundle) -> None:
    some = np.arange(6, dtype=np.float16).reshape(2, 3)
    empty = np.zeros((0, 3), np.float16)
    whole = [
        [Found(1, ("O", "O"), (1.0, 0.5), (), some, some + 1), Found(1, (), (), (), empty, empty)],
        "model: broken",
        [Found(1, ("O",), (1.0,), (), some[:1], None)],
    ]
    back = found(found_table(whole), [[2, 0], [], [1]])
    assert back == whole
    assert np.array_equal(back[0][0].distributions, some)
    assert np.array_equal(back[0][0].unadapted, some + 1)
    assert back[0][1].distributions.size == 0
    assert back[2][0].unadapted is None
    tagged, _ = tables(tag_documents(tiny, DOCUMENTS, keep=BOTH), BOTH)
    assert tagged.to_pylist()[0]["sentences"][0]["probabilities"][0] > 0
