"""The evaluation job gives the counts that the same models give in one process."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.evaluate import ENGINES, Result, Test, evaluate, main, named, notes, read_file, read_tests, table, to_json
from metaner_core.bundles import bundle
from metaner_core.data.columns import Sentence
from metaner_core.data.scoring import Counts, count
from metaner_core.experiments import names
from metaner_core.experiments.compare import compare

Test.__test__ = False  # type: ignore[attr-defined]  # not a test class, whatever its name
CHANGES = {"gamma": 5e-4}  # half the bundle's own


@pytest.fixture(scope="module")
def dutch() -> Test:
    found = read_tests(["embedded-nl"], "test", None, 40)[0]
    mark = Sentence(("-DOCSTART-",), ("O",), docstart=True)
    return Test(name="nl", sentences=[mark, *found.sentences], types=found.types)


@pytest.fixture(scope="module")
def french() -> Test:
    return read_tests(["embedded-fr"], "test", None, 20)[0]


@pytest.fixture(scope="module")
def results(ray_local: None, tiny_bundle: str, dutch: Test, french: Test) -> list[Result]:
    """Of two actors that adapt otherwise than the bundle was made for."""
    return evaluate(tiny_bundle, [dutch, french], actors=2, changes=CHANGES)


def counted(uri: str, test: Test, changes: Mapping[str, Any] | None) -> dict[str, Counts]:
    """A test's counts in this process, by engine."""
    loaded = bundle.load(uri, changes=changes)
    sentences = [s for s in test.sentences if not s.docstart]
    encoded = [loaded.encode(s.words) for s in sentences]
    predictions = {
        "unadapted": loaded.engine.plain(encoded),
        "adapted": loaded.engine.adapted(encoded, loaded.support([s.words for s in sentences])[0]),
    }
    kept = {e: [[x if x[2:] in test.types else "O" for x in p.labels] for p in predictions[e]] for e in ENGINES}
    return {engine: count([s.labels for s in sentences], kept[engine]) for engine in ENGINES}


def test_shards_add_up_to_the_counts_of_one_process(
    results: list[Result], tiny_bundle: str, dutch: Test, french: Test
) -> None:
    for result, test in zip(results, (dutch, french), strict=True):
        assert result.sentences == sum(not s.docstart for s in test.sentences)
        assert result.counts == counted(tiny_bundle, test, CHANGES)
    assert "MISC" not in results[1].counts["adapted"].predicted


def test_counts_by_sentence_add_up_and_say_how_near_the_neighbours_are(
    results: list[Result], tiny_bundle: str, dutch: Test
) -> None:
    tally, loaded = results[0].tally, bundle.load(tiny_bundle)
    sentences = [s for s in dutch.sentences if not s.docstart]
    assert {len(column) for column in tally.values()} == {len(sentences)}
    for engine in ENGINES:
        for what in ("correct", "predicted"):
            counted_by_type = getattr(results[0].counts[engine], what)
            assert tally[f"{engine}.{what}"].sum() == sum(counted_by_type.values()) > 0
    ids, similarity = loaded.support([s.words for s in sentences])
    for i, sentence in enumerate(sentences):
        assert tally["similarity"][i] == pytest.approx(1000 * similarity[i].mean(), abs=1)
        own = {label[2:] for label in sentence.labels} - {""}
        theirs = {label[2:] for n in ids[i] for label in loaded.source[n].labels}
        assert tally["recall"][i] == (round(100 * len(own & theirs) / len(own)) if own else -1)


def test_names_gained_and_lost_are_the_difference_of_the_counts(results: list[Result]) -> None:
    result = results[0]
    gained, lost = (sum(result.changed[kind].values()) for kind in ("gained", "lost"))
    correct = [sum(result.counts[engine].correct.values()) for engine in ENGINES]
    assert gained - lost == correct[1] - correct[0]
    for example in result.examples:
        assert 0 <= example["start"] < example["end"] <= len(example["words"])


def test_adaptation_changes_something(results: list[Result]) -> None:
    assert results[0].counts["adapted"].predicted != results[0].counts["unadapted"].predicted


def test_adapting_can_be_left_out(results: list[Result], tiny_bundle: str, dutch: Test) -> None:
    (alone,) = evaluate(tiny_bundle, [dutch], unadapted=True)
    assert alone.counts == {"unadapted": results[0].counts["unadapted"]}
    assert list(alone.seconds) == ["unadapted"]
    same = [name for name in results[0].tally if name == "gold" or name.startswith("unadapted.")]
    assert list(alone.tally) == same
    assert all(np.array_equal(alone.tally[name], results[0].tally[name]) for name in same)
    assert (alone.changed, alone.examples) == ({}, [])
    manifest = json.loads((Path(tiny_bundle) / "manifest.json").read_text())
    (facts,) = json.loads(to_json(tiny_bundle, manifest, [alone]))["tests"]
    assert list(facts) == ["test", "sentences", "unadapted"]
    shown = table([alone])
    assert shown.title == "Phrase-level scores, unadapted"
    assert [str(column.header) for column in shown.columns][-1] == "F1"
    assert next(iter(shown.columns[-1].cells)) == f"{alone.scores('unadapted').overall.f1:.2f}"


def test_names_are_those_that_were_counted_and_can_be_written(
    results: list[Result], ray_local: None, tiny_bundle: str, dutch: Test, tmp_path: Path
) -> None:
    empty = Test(name="empty", sentences=[], types=dutch.types)
    found = evaluate(tiny_bundle, [dutch, empty], actors=2, changes=CHANGES, names=True, parts=str(tmp_path / "parts"))
    assert found[0].counts == results[0].counts
    assert results[0].names == {}
    uri = str(tmp_path / "names.parquet")
    names.write(uri, tiny_bundle, [named(*pair) for pair in zip((dutch, empty), found, strict=True)])
    (read,) = names.read(uri)[1]  # no rows, no test
    assert [tuple(words) for words in read.words] == [s.words for s in dutch.scored()]
    for engine in ENGINES:
        both = zip(read.names["gold"], read.names[engine], strict=True)
        assert [len(g & p) for g, p in both] == results[0].tally[f"{engine}.correct"].tolist()
        assert [len(p) for p in read.names[engine]] == results[0].tally[f"{engine}.predicted"].tolist()
    (change,) = compare([read], [read])
    assert change.names["gained"].total() == 0
    assert change.f1[0] == pytest.approx(results[0].scores("adapted").overall.f1)
    with pytest.raises(ValueError, match="names"):  # records without names are no part of this
        evaluate(tiny_bundle, [dutch, empty], actors=2, changes=CHANGES, parts=str(tmp_path / "parts"))


def test_names_of_overlaps_are_refused(
    tiny_bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, copy)
    facts = json.loads((copy / "manifest.json").read_text())
    facts["settings"]["score_overlaps"] = True
    (copy / "manifest.json").write_text(json.dumps(facts))
    monkeypatch.setattr("sys.argv", ["metaner evaluate", "--bundle", str(copy), "--names", str(tmp_path / "n.parquet")])
    with pytest.raises(SystemExit):
        main()
    assert "scores the overlaps of windows twice, so its names have no places" in capsys.readouterr().err


def test_it_can_adapt_otherwise_than_the_bundle_was_made_for(
    results: list[Result], tiny_bundle: str, dutch: Test
) -> None:
    as_made, not_at_all = (counted(tiny_bundle, dutch, changes) for changes in (None, {"gamma": 0.0}))
    assert results[0].counts["adapted"] not in (as_made["adapted"], not_at_all["adapted"])
    assert not_at_all["adapted"] == not_at_all["unadapted"] == results[0].counts["unadapted"]


def test_what_training_decided_cannot_be_changed(tiny_bundle: str) -> None:
    with pytest.raises(ValueError, match="alpha, dropout: decided when the bundle was trained; only neighbours"):
        bundle.load(tiny_bundle, changes={"alpha": 1.0, "dropout": 0.5, "gamma": 1.0})


def test_the_json_holds_counts_and_says_of_which_bundle(results: list[Result], tiny_bundle: str) -> None:
    manifest = json.loads((Path(tiny_bundle) / "manifest.json").read_text())
    facts = json.loads(to_json(tiny_bundle, manifest, results, CHANGES))
    assert facts["settings"] == {**manifest["settings"], **CHANGES}
    assert facts["fingerprint"] == manifest["fingerprint"]
    assert [test["sentences"] for test in facts["tests"]] == [40, 20]
    assert facts["tests"][0]["adapted"]["counts"] == results[0].counts["adapted"].to_dict()


def test_an_unknown_corpus_is_refused() -> None:
    with pytest.raises(ValueError, match="klingon"):
        read_tests(["klingon"], "test", None, None)


def test_its_output_has_no_lines_of_rays_own(
    ray_local: None,
    tiny_bundle: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = ["--corpus", "embedded-nl", "--limit", "12", "--every-seconds", "0.01"]
    where = ["--bundle", tiny_bundle, "--output", str(tmp_path / "scores.json")]
    monkeypatch.setattr(sys, "argv", ["evaluate", *where, *options])
    main()
    out, err = capfd.readouterr()
    ours = r"[│┃┏┡├└ ]|starting; 12 sentences|\d+/12 sentences|(un)?adapted: |scores written to | *Phrase-level scores"
    assert [line for line in out.splitlines() if not re.match(ours, line)] == []
    assert "embedded-nl" in out
    # From Ray's core, past every log level: each pool of Ray Data has it (ray-project/ray#57733).
    assert [line for line in err.splitlines() if "has constructor arguments in the object store" not in line] == []


def test_the_raylets_count_of_processes_is_not_told_and_what_else_it_says_is() -> None:
    said = "7 PYTHON worker processes have been started on node: x", "The node is low on memory"
    code = (
        "import jobs; from ray._private.worker import print_to_stdstream as tell; "
        f"[tell({{'lines': [line], 'pid': 'raylet', 'is_err': False}}, ignore_prefix=False) for line in {said!r}]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said[0] not in done.stdout
    assert said[1] in done.stdout


COLUMNS = "Ana B-PER\nvisited O\nParis B-LOC\n\nBo B-PER\nleft O\n"
TYPES = ("PER", "LOC", "ORG", "MISC")


def test_the_types_of_a_file_are_those_found_in_it_or_those_named(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(COLUMNS)
    assert read_file(str(tmp_path / "a.conll"), TYPES, None, 1).types == ("PER", "LOC")
    assert read_file(str(tmp_path / "a.conll"), TYPES, ["PER", "LOC", "ORG"], None).types == ("PER", "LOC", "ORG")
    with pytest.raises(ValueError, match=r"a.conll:3: tag 'B-LOC' has type 'LOC', expected one of PER"):
        read_file(str(tmp_path / "a.conll"), TYPES, ["PER"], None)


def test_the_table_says_where_corpus_and_bundle_differ(results: list[Result], dutch: Test, french: Test) -> None:
    assert notes([dutch, french], TYPES) == [
        "no MISC in embedded-fr: what the bundle finds of it counts as nothing",
    ]
    assert notes([dutch, french], TYPES[:3]) == [
        "MISC, which the bundle does not know, in nl: all of it counts as missed"
    ]
    assert str(table(results, notes=["[b]x[/b]"]).caption) == "[b]x[/b]"


def test_what_a_corpus_has_and_the_bundle_does_not_know_is_missed(ray_local: None, tiny_bundle: str) -> None:
    sentence = Sentence(("Ana", "reads", "Faust"), ("B-PER", "O", "B-WORK"))
    (result,) = evaluate(tiny_bundle, [Test(name="own", sentences=[sentence], types=("PER", "WORK"))])
    assert result.counts["adapted"].gold["WORK"] == 1
    assert result.counts["adapted"].predicted.get("WORK", 0) == 0
    assert set(result.counts["adapted"].predicted) <= {"PER"}
