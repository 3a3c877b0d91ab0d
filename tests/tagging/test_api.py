"""The Python API: documents that say what the pipeline's rows say, one for each text, whatever is handed in."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import metaner_core
from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.tagging import api, batches
from metaner_core.tagging.api import BundleTagger
from metaner_core.tagging.documents import Outcome, TaggedDocument
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from metaner_core.text.document import Document, Row
from metaner_core.text.rules import Rules
from tests.support.rows import near

TEXTS = [
    "La alcaldesa Rosa Vidal habló en Zaragoza.\n\nEl Ebro crece. Rosa Vidal calló.",
    "Der Verein FC Lindau gewann in Bremen gegen Kiel mit 2:1.",
    "王小明在北京工作。他昨天去了上海。",
    "𝔘nser \u200bHaus. " + "Maria ging nach Bremen und " * 30,
    "7.",
]
NOT_TAGGED = [None, 7, "", " \n\u200b", "Ana \ud800", "x" * 1_000_001]


def said(document: TaggedDocument, uri: str) -> dict[str, Any]:
    """The document as a row of its outcome's table. What it says of neighbours is looked up in the bundle's file."""
    source = Path(uri, "support.jsonl").read_text(encoding="utf-8").split("\n")
    row = dataclasses.asdict(document)
    for neighbour in (n for sentence in row["sentences"] for n in sentence["neighbours"]):
        written = json.loads(source[neighbour["id"]])
        assert neighbour.pop("words") == tuple(written["words"])
        assert neighbour.pop("labels") == tuple(written["labels"])
    return json.loads(json.dumps(row))  # type: ignore[no-any-return]  # tuples as lists, as a row has them


def of_row(row: Row) -> dict[str, Any]:
    none = {"sentences": [], "entities": [], "stage": None, "reason": None}
    return {name: value for name, value in (none | row).items() if name not in ("id", "extra", "characters", "excerpt")}


@pytest.mark.parametrize("adapted", [True, False])
@pytest.mark.parametrize("languages", [None, ["es", "de-AT", "zh", None, None]])
def test_documents_say_what_the_pipeline_s_rows_say(
    tagger: BundleTagger, uri: str, adapted: bool, languages: list[str | None] | None
) -> None:
    documents = [Document("x", *pair) for pair in zip(TEXTS, languages or [None] * len(TEXTS), strict=True)]
    rows = tag_documents(bundle.load(uri), documents, adapted=adapted)
    found = tagger.tag(TEXTS, adapted=adapted, language=languages)
    assert len({entity.type for document in found for entity in document.entities}) > 1
    assert [said(document, uri) for document in found] == [of_row(row) for row in rows]
    assert [bool(sentence.neighbours) for document in found for sentence in document.sentences] == [adapted] * sum(
        len(row["sentences"]) for row in rows
    )


def test_there_is_a_document_for_every_text_in_order(tagger: BundleTagger, uri: str) -> None:
    texts: list[Any] = [TEXTS[0], *NOT_TAGGED, TEXTS[1]]
    found = tagger.tag(texts)
    assert [document.text for document in found] == [text if isinstance(text, str) else None for text in texts]
    assert [(document.outcome, document.stage) for document in found] == [
        ("tagged", None),
        ("rejected", "text"),
        ("rejected", "text"),
        ("empty", None),
        ("empty", None),
        ("rejected", "text"),
        ("filtered", "length"),
        ("tagged", None),
    ]
    assert [document.reason for document in found[1:3]] == [
        "expected a string, found null",
        "expected a string, found int",
    ]
    assert not any(document.sentences or document.entities for document in found[1:-1])
    assert [said(document, uri) for document in tagger.tag([TEXTS[0]])] == [about(said(found[0], uri))]


def about(row: dict[str, Any]) -> Any:
    """Other batches, other rounding; in fp32 a step with a γ as large as this bundle's shows it."""
    return near(row, within=2e-3)


def test_many_texts_go_through_the_model_in_batches(
    tagger: BundleTagger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded(loaded: Any, documents: Sequence[Document], **options: Any) -> list[Row]:
        sizes.append([len(document.text or "") for document in documents])
        return tag_documents(loaded, documents, **options)

    expected = [about(said(document, uri)) for document in tagger.tag(TEXTS * 2)]
    sizes: list[list[int]] = []
    monkeypatch.setattr(api, "tag_documents", recorded)
    monkeypatch.setattr(api, "BATCH", 3)
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 100)
    found = tagger.tag(iter(TEXTS * 2))
    assert [said(document, uri) for document in found] == expected
    assert [size for batch in sizes for size in batch] == [len(text) for text in TEXTS * 2]
    assert all(len(batch) <= 3 and sum(batch[:-1]) < 100 for batch in sizes)
    assert [len(batch) for batch in sizes] == [2, 2, 3, 2, 1]


def test_rules_and_one_language_for_all_hold_as_in_a_job(tagger: BundleTagger) -> None:
    found = tagger.tag(TEXTS[1:3], rules=Rules(languages=("zh", "es")))
    assert [(document.outcome, document.stage) for document in found] == [("filtered", "language"), ("tagged", None)]
    assert {document.language for document in tagger.tag(TEXTS[:2], language="pt-BR")} == {"pt-BR"}


def test_nothing_gives_nothing(tagger: BundleTagger) -> None:
    assert tagger.tag([]) == []
    assert tagger.tag_words([]) == []


@pytest.mark.parametrize("texts", ["Ana Ruiz", b"Ana", None, 7, {"a": "Ana"}, {"Ana"}])
def test_what_is_no_list_of_texts_is_refused(tagger: BundleTagger, texts: Any) -> None:
    with pytest.raises(TypeError, match=f"is of type {type(texts).__name__}, .* give one text as \\[text\\]"):
        tagger.tag(texts)


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("Elbonian", "no language: 'Elbonian'; write one like de"),
        (["de", "x!", 7, "x!"], "no language: 'x!', 7;"),
        (7, "no language: 7"),
        (["de"], "1 languages for 2 texts; give one for all of them, or one for each"),
    ],
)
def test_what_is_no_language_is_refused(tagger: BundleTagger, language: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tagger.tag(["Ana", "Eva"], language=language)


def load_refused(uri: str, message: str, **options: Any) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        metaner_core.load(uri, **options)


def test_a_bundle_that_cannot_be_used_as_asked_is_refused(uri: str, tmp_path: Path) -> None:
    load_refused(str(tmp_path / "none"), "there is no such folder")
    load_refused(str(tmp_path), "is no bundle")
    load_refused("http://bucket/bundle", "http://bucket/bundle")
    load_refused(uri, "device 'gpu' is unknown; give cpu, cuda or cuda:1", device="gpu")
    load_refused(uri, "device 'mps' is unknown", device="mps")
    load_refused(uri, "device 'None' is unknown", device=None)
    load_refused(uri, "torch sees [0-9]+ CUDA devices", device="cuda:64")
    load_refused(uri, "precision 'fp8' is unknown; there are fp32, bf16", precision="fp8")
    load_refused(uri, "engine 'fast' is unknown", engine="fast")
    load_refused(uri, "the reference is fp32", engine="reference", precision="bf16")


def test_the_reference_engine_says_the_same(tagger: BundleTagger, uri: str) -> None:
    texts = TEXTS[:2]
    found = metaner_core.load(Path(uri), engine="reference", device=torch.device("cpu")).tag(texts)
    assert [said(document, uri) for document in found] == [about(said(document, uri)) for document in tagger.tag(texts)]


def test_a_bundle_is_read_from_s3(tagger: BundleTagger, uri: str, s3: str) -> None:
    storage.publish(Path(uri), f"{s3}/bundle", last=bundle.MANIFEST)
    assert metaner_core.load(f"{s3}/bundle").tag(TEXTS[:1]) == tagger.tag(TEXTS[:1])


def test_the_program_needs_no_ray(uri: str) -> None:
    code = "import sys; from metaner_core import load; outcome = load(sys.argv[1]).tag(['Ana.'])[0].outcome"
    look = "print(outcome, [name for name in sys.modules if name.split('.')[0] == 'ray'])"
    done = subprocess.run([sys.executable, "-c", f"{code}; {look}", uri], capture_output=True, text=True, check=True)
    assert done.stdout == "tagged []\n"


def test_the_package_is_imported_without_the_model() -> None:
    look = (
        "import sys, metaner_core; from metaner_core import load; print({'torch', 'numpy', 'pyarrow'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_outcomes_are_the_schema_s() -> None:
    assert get_args(Outcome) == schema.OUTCOMES
