"""Rounds of tagging and distilling as one command, against tagging and distilling without Ray."""

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from jobs.self_train import Rounds, load, self_train, table
from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.distilling.run import Distilling
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from metaner_core.text.schema import Keep
from tests.support.rows import near, written
from tests.support.tagged import documents

FILE = """bundle = {bundle!r}
rounds = 2
[tag]
input = {crawl!r}
shard_mb = 8
[distill]
train = {train!r}
dev = {dev!r}
set = {{ steps = 4, dev_every = 2, batch = 6, gold = 4, rate = 1e-2, optimizer = "sgd", mixed = 2 }}
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: str) -> dict[str, str]:
    """What the file names: a bundle, a crawl in four languages, English labels."""
    folder = tmp_path_factory.mktemp("rounds")
    rows = (json.dumps({"id": d.id, "text": d.text, "language": d.language}) + "\n" for d in documents())
    (folder / "crawl.jsonl").write_text("".join(rows), encoding="utf-8")
    for name, many in (("train", 30), ("dev", 10)):
        sentences = corpora.load("embedded-en", name)[:many]
        text = "\n".join("".join(f"{w}\t{t}\n" for w, t in zip(s.words, s.labels, strict=True)) for s in sentences)
        (folder / name).write_text(text, encoding="utf-8")
    return {"bundle": tiny_bundle, "crawl": str(folder / "crawl.jsonl")} | {
        name: str(folder / name) for name in ("train", "dev")
    }


@pytest.fixture(scope="module")
def file(places: dict[str, str]) -> str:
    path = Path(places["train"]).parent / "rounds.toml"
    path.write_text(FILE.format(**places), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def first(ray_local: None, file: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[Path, int]]:
    """The output of one round, and when each of its files was last written."""
    place = tmp_path_factory.mktemp("output") / "out"
    self_train(load(file, str(place), rounds=1))
    return str(place), {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def output(first: tuple[str, dict[Path, int]], file: str) -> str:
    """Of two rounds: the same command went on behind the first."""
    self_train(load(file, first[0]))
    return first[0]


@pytest.mark.parametrize("number", [1, 2])
def test_a_round_is_tagging_and_distilling(output: str, places: dict[str, str], tmp_path: Path, number: int) -> None:
    """Against both as they are without Ray: the teacher of the second round is the first one's student."""
    teacher = places["bundle"] if number == 1 else f"{output}/1/student"
    rows = written(Path(output, str(number), "tagged"), "tagged")
    keep = Keep(probabilities=True)
    found, _ = schema.tables(tag_documents(bundle.load(teacher), documents(), keep=keep), keep)
    assert [rows[row["id"]] for row in found.to_pylist()] == near(found.to_pylist())
    job = load(str(Path(places["train"]).parent / "rounds.toml"), output).distilling(number)
    fields = {name: getattr(job, name) for name in Distilling.__dataclass_fields__}
    Distilling(**fields).run(str(tmp_path / "alone"), NoCheckpoints(), tell=lambda line: None, facts={})
    student, alone = (bundle.load(uri) for uri in (f"{output}/{number}/student", str(tmp_path / "alone")))
    assert student.manifest["distilled"] == alone.manifest["distilled"]
    assert student.manifest["distilled"]["teachers"] == [teacher]
    for name, p in alone.tagger.trained().items():
        torch.testing.assert_close(student.tagger.trained()[name], p, rtol=0, atol=1e-6, msg=name)


def test_the_first_round_is_not_done_again(
    output: str, first: tuple[str, dict[Path, int]], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {path: path.stat().st_mtime_ns for path in first[1]} == first[1]
    monkeypatch.setattr("jobs.bulk_tag._tag", None)
    monkeypatch.setattr("jobs.training.learning.fit", None)
    assert len(self_train(load(file, output))) == 3


def test_the_table_has_every_round_with_its_dev_f1(output: str, file: str) -> None:
    found = self_train(load(file, output))
    console = Console(file=io.StringIO(), width=110)
    console.print(table(found))
    rows = [line for line in console.file.getvalue().splitlines() if line.startswith("│")]  # type: ignore[attr-defined]
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert [row[0] for row in cells] == ["begun with", "1", "2"]
    for manifest, row in zip(found, cells, strict=True):
        assert row[3] == f"{manifest['best']['dev_f1']:.2f}"
    kept = found[1]["distilled"]["selection"]["kept"]
    assert cells[1][1:3] == [f"{kept['sentences']:,}", f"{sum(kept['names'].values()):,}"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("rounds = 2", "rounds = 0", "rounds is 0; it must be a whole number from 1 on"),
        ("rounds = 2", "rounds = true", "rounds is True; it must be a whole number from 1 on"),
        ("rounds = 2", "round = 2", r"round is not known; there are bundle, rounds, tag, distill"),
        ("[distill]", "[teach]", "distill is not there; it must be a table of that command's options"),
        ("shard_mb = 8", "shard_mb = -1", "shard_mb is -1; it must be above 0"),
        (
            "shard_mb = 8",
            "shard_bm = 1",
            r"\[tag\]:\s+shard_bm is no option .* mean shard-mb",
        ),
        ("shard_mb = 8", "output = 'x'", r"\[tag\] output: the rounds or the command line say it; leave it out"),
        ("shard_mb = 8", "keep_unadapted = true", r"\[tag\] keep_unadapted: .*student tags, .*give its student as"),
        ("steps = 4", "stepps = 4", "stepps"),
        ("steps = 4", "agree = true", r"agree and teacher=unadapted want keep_unadapted in \[tag\], .* leave them out"),
        ("rounds = 2", "rounds", r"rounds\.toml: .*the rounds are a TOML file"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_before_any_work(
    places: dict[str, str], tmp_path: Path, before: str, after: str, told: str
) -> None:
    text = FILE.format(**places)
    assert before in text
    (tmp_path / "rounds.toml").write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        load(str(tmp_path / "rounds.toml"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_first_round_alone_may_keep_what_was_before_adapting(places: dict[str, str], tmp_path: Path) -> None:
    text = FILE.format(**places).replace("rounds = 2", "rounds = 1").replace("[tag]", "[tag]\nkeep_unadapted = true")
    (tmp_path / "rounds.toml").write_text(text, encoding="utf-8")
    job = load(str(tmp_path / "rounds.toml"), str(tmp_path / "out"))
    assert isinstance(job, Rounds)
    assert job.tagging(1, job.bundle).keep_unadapted


def test_the_first_round_alone_adapts_and_so_takes_what_adapts_otherwise(
    places: dict[str, str], tmp_path: Path
) -> None:
    text = FILE.format(**places).replace("shard_mb = 8", "shard_mb = 4\nset = { gamma = 0.5 }")
    (tmp_path / "rounds.toml").write_text(text, encoding="utf-8")
    job = load(str(tmp_path / "rounds.toml"), str(tmp_path / "out"))
    one, two = (job.tagging(number, places["bundle"]) for number in (1, 2))
    assert (one.adapting, one.shard_mb) == ({"gamma": 0.5}, 4)
    assert (two.adapting, two.shard_mb) == ({}, 4)
