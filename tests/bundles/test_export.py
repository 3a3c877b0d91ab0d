"""What is exported computes what the bundle's unadapted model computes, and other programs load it."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, BertGenerationConfig, BertGenerationEncoder
from transformers import pipeline as pipeline_of

from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.bundles.export import export, main
from metaner_core.bundles.token_classifier import classifier, require_near
from metaner_core.model.encoding import collate
from metaner_core.settings import preset
from tests.support.bundles import german, places, save_xlm_roberta, write_lively
from tests.support.small import save_tiny_xlm_roberta

KINDS = ("bert", "xlm-roberta", "official-code")
EXTRA = ["[PAD]", "X", "[CLS]", "[SEP]"]


@dataclasses.dataclass(frozen=True)
class Exported:
    loaded: Bundle
    folder: Path
    said: list[str]

    def pipeline(self, **options: Any) -> Any:
        return pipeline_of("token-classification", model=str(self.folder), ignore_labels=["O", *EXTRA], **options)


@pytest.fixture(scope="module", params=KINDS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp(request.param)
    uri, output = str(folder / "bundle"), folder / "export"
    if request.param == "xlm-roberta":
        encoder, name = save_xlm_roberta(folder / "encoder"), "paper"
    else:
        encoder, name = "embedded", "official-code" if request.param == "official-code" else "embedded"
    settings = preset(name, seed=1, frozen_layers=1, window=48, window_context=16)
    write_lively(uri, settings, encoder=encoder)
    said = export(uri, str(output), to="transformers")
    return Exported(bundle.load(uri), output, said)


def found(entities: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(entity["entity_group"], entity["start"], entity["end"]) for entity in entities]


def snippets(exported: Exported) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (exported.folder / "README.md").read_text(), re.DOTALL)


def sentences(exported: Exported, *, subwords: int) -> list[tuple[str, ...]]:
    """Words of at most so many subwords, nine a sentence, that the pipeline takes for one word each as the bundle does.

    WordPiece must not divide them at punctuation; the first piece of a SentencePiece word must be more than a space.
    """
    tokenizer, kept = AutoTokenizer.from_pretrained(exported.folder), []
    spaces = "▁" in tokenizer.get_vocab()
    for word in dict.fromkeys(word for words in german() for word in words):
        first, *further = tokenizer.convert_ids_to_tokens(tokenizer(word, add_special_tokens=False)["input_ids"])
        alike = first != "▁" if spaces else all(piece.startswith("##") for piece in further)
        if alike and len(further) < subwords and tokenizer.unk_token not in (first, *further):
            kept.append(word)
    return [tuple(kept[i : i + 9]) for i in range(0, len(kept) - 9, 9)][:12]


def test_logits_are_the_tagger_s(exported: Exported) -> None:
    model = AutoModelForTokenClassification.from_pretrained(exported.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(exported.folder)
    for words in german()[:12]:
        ours = exported.loaded.encode(words)
        given = tokenizer(list(words), is_split_into_words=True, return_tensors="pt", truncation=True)
        ids = given.word_ids()
        first = [i for i, word in enumerate(ids) if word is not None and ids.index(word) == i]
        with torch.no_grad():
            expected = exported.loaded.tagger(collate([ours], exported.loaded.tokenizer))
            logits = model(**given).logits[0, first]
        assert len(first) > 1
        if len(ours.windows) == 1:
            assert len(first) == len(words)
            torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
        else:  # cut off after the first window
            torch.testing.assert_close(logits, expected[: len(first)], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("aggregation", "subwords"), [("first", 9), ("simple", 1)])
def test_the_pipeline_finds_what_the_engine_finds(exported: Exported, aggregation: str, subwords: int) -> None:
    tag, tagged = exported.pipeline(aggregation_strategy=aggregation), sentences(exported, subwords=subwords)
    expected = [places(exported.loaded, words) for words in tagged]
    assert len({type_ for names in expected for type_, _, _ in names}) > 2
    assert [found(tag(" ".join(words))) for words in tagged] == expected


def test_names_behind_the_first_window_are_found(exported: Exported) -> None:
    words = next(words for words in sentences(exported, subwords=9) if places(exported.loaded, words))
    tag = exported.pipeline(aggregation_strategy="first", stride=exported.loaded.settings.window_context)
    entities = found(tag(" ".join(words * 20)))
    assert max(end for _, _, end in entities) > len(" ".join(words * 18))


def test_labels_are_the_bundle_s(exported: Exported) -> None:
    config = json.loads((exported.folder / "config.json").read_text())
    labels = exported.loaded.manifest["labels"]
    assert [config["id2label"][str(n)] for n in range(len(labels))] == labels
    assert config["label2id"] == {name: n for n, name in enumerate(labels)}
    assert config["classifier_dropout"] == exported.loaded.settings.dropout


def test_weights_are_safetensors_and_the_tokenizer_fits_the_window(exported: Exported) -> None:
    names = {path.name for path in exported.folder.iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    tokenizer = AutoTokenizer.from_pretrained(exported.folder)
    assert tokenizer.is_fast
    given = tokenizer("Rain . " * 100, truncation=True)["input_ids"]
    assert len(given) == exported.loaded.settings.window + 2
    assert (given[0], given[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)


def test_the_card_s_pipeline_works(exported: Exported) -> None:
    names: dict[str, Any] = {}
    exec(snippets(exported)[0], names)
    tagged = sentences(exported, subwords=9)
    expected = [places(exported.loaded, words) for words in tagged]
    assert [found(names["tagger"](" ".join(words))) for words in tagged] == expected


def test_the_card_s_labels_are_the_bundle_s(exported: Exported) -> None:
    *_, snippet = snippets(exported)
    for words in german()[:4]:
        names: dict[str, Any] = {}
        exec(re.sub(r"(?m)^words = .*$", f"words = {list(words)!r}", snippet), names)
        ours = exported.loaded.encode(words)
        (expected,) = exported.loaded.engine.plain([ours])
        read = [label if label not in EXTRA else "O" for label in names["labels"].values()]
        assert read == list(expected.labels[: len(read)])
        assert len(ours.windows) > 1 or len(read) == len(words)


def test_it_says_that_nothing_adapts_and_which_labels_are_no_entities(exported: Exported) -> None:
    card, said = (exported.folder / "README.md").read_text(), "\n".join(exported.said)
    assert "unadapted" in said
    assert "unadapted model" in card
    extra = exported.loaded.settings.loss_tokens == "all"
    assert ("[PAD], X, [CLS], [SEP]" in said) is extra
    assert ("`[PAD]`, `X`, `[CLS]`, `[SEP]` were learnt for tokens that begin no word" in card) is extra


def test_a_tokenizer_without_special_tokens_gets_them(tmp_path: Path) -> None:
    encoder = save_tiny_xlm_roberta(tmp_path / "encoder")
    uri = write_lively(str(tmp_path / "bundle"), preset("paper", frozen_layers=1), encoder=encoder)
    assert len(AutoTokenizer.from_pretrained(encoder)("Rain")["input_ids"]) == len(
        bundle.load(uri).encode(["Rain"]).ids
    )
    export(uri, str(tmp_path / "out"), to="transformers")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("Rain")["input_ids"] == [0, *bundle.load(uri).encode(["Rain"]).ids, 2]


def test_a_place_in_use_is_refused(tiny_bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(SystemExit) as ended:
        main([tiny_bundle, "--to", "transformers", "--output", str(tmp_path)])
    assert ended.value.code == 2
    assert re.fullmatch(r"error: .* already holds files; .*\n", capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_it_goes_from_s3_to_s3(tiny_bundle: str, s3: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage.publish(Path(tiny_bundle), f"{s3}/bundle", last=bundle.MANIFEST)
    main([f"{s3}/bundle", "--to", "transformers", "--output", f"{s3}/export/de"])
    assert "unadapted" in capsys.readouterr().out
    with storage.local_copy(f"{s3}/export/de") as folder:
        model = AutoModelForTokenClassification.from_pretrained(folder)
        assert "model='de'" in (folder / "README.md").read_text()  # a copy of it: transformers reads no s3://
    expected = bundle.load(tiny_bundle).tagger.classifier.weight
    assert torch.equal(model.classifier.weight, expected)


def test_what_is_no_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--to", "transformers", "--output", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "is no bundle" in capsys.readouterr().err


def test_a_family_without_such_a_model_is_named(tiny_bundle: str) -> None:
    loaded = bundle.load(tiny_bundle)
    other: Any = BertGenerationEncoder(BertGenerationConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1))
    with pytest.raises(ValueError, match="type 'bert-generation' cannot be exported"):
        classifier(dataclasses.replace(loaded, tagger=SimpleNamespace(encoder=other)))


@pytest.mark.parametrize("wrong", [2e-4, float("nan"), float("inf")])
def test_other_logits_are_refused(wrong: float) -> None:
    right = torch.zeros(3, 2)
    assert require_near([(right, right + 5e-5)], "it differs") == pytest.approx(5e-5)
    with pytest.raises(ValueError, match="it differs"):
        require_near([(right, right), (right, right.clone().index_fill_(0, torch.tensor([1]), wrong))], "it differs")


def test_an_example_comes_first_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.startswith(
        "examples:\n  python -m metaner_core.bundles.export out/bundle --to transformers"
    )
