"""The evaluation job gives the counts that the same models give in one process."""

import json
from pathlib import Path

import pytest

from jobs.evaluate import ENGINES, Test, evaluate, read_tests, to_json
from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.data.columns import Sentence
from metaner_core.data.scoring import count

Test.__test__ = False  # type: ignore[attr-defined]  # not a test class, whatever its name


@pytest.fixture(scope="module")
def dutch() -> Test:
    found = read_tests(["embedded-nl"], "test", None, 40)[0]
    mark = Sentence(("-DOCSTART-",), ("O",), docstart=True)
    return Test(name="nl", sentences=[mark, *found.sentences], types=found.types)


def test_shards_add_up_to_the_counts_of_one_process(ray_local: None, tiny_bundle: str, dutch: Test) -> None:
    french = read_tests(["embedded-fr"], "test", None, 20)[0]
    nl, fr = evaluate(tiny_bundle, [dutch, french], actors=2)
    loaded = bundle.load(tiny_bundle)
    for result, test in ((nl, dutch), (fr, french)):
        sentences = [s for s in test.sentences if not s.docstart]
        encoded = [loaded.encode(s.words) for s in sentences]
        predictions = {
            "unadapted": loaded.engine.plain(encoded),
            "adapted": loaded.engine.adapted(encoded, loaded.support([s.words for s in sentences])[0]),
        }
        assert result.sentences == len(sentences)
        for engine in ENGINES:
            kept = [[x if x[2:] in test.types else "O" for x in p.labels] for p in predictions[engine]]
            assert result.counts[engine] == count([s.labels for s in sentences], kept)
    assert "MISC" not in fr.counts["adapted"].predicted


def test_adaptation_changes_something(ray_local: None, tiny_bundle: str, dutch: Test) -> None:
    (result,) = evaluate(tiny_bundle, [dutch])
    assert result.counts["adapted"].predicted != result.counts["unadapted"].predicted


def test_it_can_adapt_otherwise_than_the_bundle_was_made_for(ray_local: None, tiny_bundle: str, dutch: Test) -> None:
    (result,) = evaluate(tiny_bundle, [dutch], changes={"gamma": 0.0})
    assert result.counts["adapted"] == result.counts["unadapted"]


def test_what_training_decided_cannot_be_changed(tiny_bundle: str) -> None:
    with pytest.raises(ValueError, match="alpha, dropout: decided when the bundle was trained; only neighbours"):
        bundle.load(tiny_bundle, changes={"alpha": 1.0, "dropout": 0.5, "gamma": 1.0})


def test_the_json_holds_counts_and_says_of_which_bundle(ray_local: None, tiny_bundle: str, dutch: Test) -> None:
    few = Test(name="nl", sentences=dutch.sentences[:5], types=corpora.TYPES)
    manifest = json.loads((Path(tiny_bundle) / "manifest.json").read_text())
    facts = json.loads(to_json(tiny_bundle, manifest, evaluate(tiny_bundle, [few]), {"gamma": 0.5}))
    assert facts["settings"] == {**manifest["settings"], "gamma": 0.5}
    assert facts["fingerprint"] == manifest["fingerprint"]
    assert facts["tests"][0]["sentences"] == 4
    assert set(facts["tests"][0]["adapted"]["counts"]) == {"correct", "predicted", "gold"}


def test_an_unknown_corpus_is_refused() -> None:
    with pytest.raises(ValueError, match="klingon"):
        read_tests(["klingon"], "test", None, None)
