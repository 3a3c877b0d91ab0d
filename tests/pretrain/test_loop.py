"""The pre-training loop: it learns, stops and goes on without a trace, and writes what the other jobs read."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from metaner_core.bundles.prepare import prepare
from metaner_core.checked import overrides
from metaner_core.data import corpora
from metaner_core.encoders.encoder import load_encoder
from metaner_core.method.checkpoint import FolderCheckpoints, NoCheckpoints
from metaner_core.model.sentence_vectors import SentenceVectors
from metaner_core.pretrain import __main__ as command
from metaner_core.pretrain.loop import Pretrainer
from metaner_core.pretrain.masked.batches import Batches
from metaner_core.pretrain.model import loss_sum, new_model, write_encoder
from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.score import held_out, retrieval, score
from metaner_core.pretrain.settings import PackSettings, PretrainSettings, preset
from metaner_core.pretrain.state import State, facts, run_name
from metaner_core.pretrain.vocabulary import fast
from metaner_core.settings import preset as tagging_preset
from tests.support.pretrain_small import Stopped, packed_small, small, stop_at


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed_small(tmp_path_factory.mktemp("packed"))


def parameters(state: State) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in state.model.named_parameters()}


def test_a_tiny_text_is_learnt_by_heart(packed: Packed) -> None:
    settings = small(steps=60, save_every=20, translation_share=0.0, start_tokens=0)
    fixed = Batches(packed, settings)(0)
    trainer = Pretrainer(packed, settings)
    state = trainer.start()
    for _ in range(settings.steps):
        trainer.step(state, fixed)
    with torch.no_grad():
        last = loss_sum(state.model, fixed.shared("cpu")).item() / fixed.targets.sum()
    untrained = np.log(packed.tokenizer.get_vocab_size())
    assert last < 0.3 * untrained


def test_a_run_lowers_the_loss_and_counts_its_tokens(packed: Packed) -> None:
    settings = small(steps=40, save_every=10)
    state = Pretrainer(packed, settings).run(NoCheckpoints())
    assert [entry["step"] for entry in state.history] == [10, 20, 30, 40]
    assert state.history[-1]["loss"] < state.history[0]["loss"]
    draw = Batches(packed, settings)
    assert state.tokens == sum(draw(step).tokens for step in range(40))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_stopped_and_started_again_it_ends_bit_for_bit_like_an_unbroken_run(
    packed: Packed, tmp_path: Path, dropout: float
) -> None:
    settings = small(steps=10, dropout=dropout)
    whole = Pretrainer(packed, settings).run(NoCheckpoints())
    for stop in (2, 6, 9):  # before the first checkpoint, between, and after the second
        with pytest.raises(Stopped):
            Pretrainer(packed, settings, on_step=stop_at(stop)).run(FolderCheckpoints(tmp_path, print, counter="step"))
    again = Pretrainer(packed, settings).run(FolderCheckpoints(tmp_path, print, counter="step"))
    assert again.history == whole.history
    expected = parameters(whole)
    for name, p in parameters(again).items():
        assert torch.equal(p, expected[name]), name
    assert [folder.name for folder in tmp_path.iterdir()] == ["checkpoint-000000010"]


def test_a_checkpoint_that_was_not_finished_does_not_count(packed: Packed, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        Pretrainer(packed, small(), on_step=stop_at(5)).run(FolderCheckpoints(tmp_path, print, counter="step"))
    checkpoints = FolderCheckpoints(tmp_path, print, counter="step")

    def killed(folder: Path) -> None:
        (folder / "state.json").write_text("half")
        raise Stopped

    with pytest.raises(Stopped):
        checkpoints.save({"step": 8, "tokens": 1, "loss": 1.0, "retrieval": 0.0, "retrieval_by_language": {}}, killed)
    found = checkpoints.load()
    assert found is not None
    assert json.loads((found / "state.json").read_text())["step"] == 4


def test_shares_of_the_workers_add_up_to_the_whole_gradient(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small()
    model, batch = new_model(settings, packed.tokenizer.get_vocab_size()), Batches(packed, settings)(3)
    loss_sum(model, batch.shared("cpu")).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    monkeypatch.setattr("metaner_core.workers.count", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr("metaner_core.workers.rank", lambda rank=rank: rank)
        loss_sum(model, batch.shared("cpu")).backward()  # adds to what is there
    for name, p in model.named_parameters():
        assert torch.allclose(p.grad, expected[name], rtol=1e-3, atol=1e-4 * expected[name].abs().max() + 1e-8), name


def test_the_loss_is_that_of_the_whole_model(packed: Packed) -> None:
    model, batch = new_model(small(), packed.tokenizer.get_vocab_size()), Batches(packed, small())(3).shared("cpu")
    labels = batch["ids"].where(batch["targets"], torch.tensor(-100))
    found = model(
        input_ids=batch["inputs"],
        attention_mask=batch["attended"].long(),
        token_type_ids=batch["types"],
        position_ids=batch["positions"],
        labels=labels,
    )
    assert loss_sum(model, batch).item() == pytest.approx(found.loss.item() * batch["targets"].sum().item(), rel=1e-5)


@pytest.fixture(scope="module")
def written(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> tuple[State, str]:
    settings, uri = small(), str(tmp_path_factory.mktemp("out") / "encoder")
    state = Pretrainer(packed, settings).run(NoCheckpoints())
    write_encoder(state.model, packed, uri, facts(state, packed, settings), run="one")
    return state, uri


def test_the_output_is_an_encoder_that_computes_the_same(packed: Packed, written: tuple[State, str]) -> None:
    encoder, tokenizer = load_encoder(written[1])
    model = written[0].model.eval()
    text = "Angela Merkel visited 北京 on Tuesday."
    batch = tokenizer(text, return_tensors="pt")
    assert batch["input_ids"][0].tolist() == packed.tokenizer.encode(text).ids
    with torch.no_grad():
        found, expected = (part(**batch).last_hidden_state for part in (encoder, model.bert))
    assert torch.allclose(found, expected, atol=0.02)


def test_the_output_says_what_made_it(packed: Packed, written: tuple[State, str]) -> None:
    made = json.loads((Path(written[1]) / "training.json").read_text())
    assert made["settings"] == small().to_dict()
    assert made["packed"]["fingerprint"] == packed.fingerprint
    assert made["history"] == written[0].history


def test_a_tagger_is_prepared_on_the_output(written: tuple[State, str]) -> None:
    sentences = corpora.load("embedded-en", "train")[:12]
    prepared = prepare(tagging_preset("demo"), sentences, sentences[:3], encoder=written[1])
    assert prepared.vectors.shape == (12, 32)


def test_retrieval_is_the_share_of_sentences_whose_nearest_is_their_translation(
    packed: Packed, written: tuple[State, str]
) -> None:
    model, held = written[0].model.eval(), packed.held["xx"]
    vectors = []
    for side in (0, 1):
        rows = [torch.tensor([[2, *held[i][side].tolist(), 3]]) for i in range(len(held))]
        with torch.no_grad():
            vectors.append([model.bert(row).last_hidden_state[0].mean(0) for row in rows])
    nearest = lambda v, others: max(range(len(others)), key=lambda j: torch.cosine_similarity(v, others[j], dim=0))  # noqa: E731
    both = [nearest(v, b) == i for a, b in (vectors, vectors[::-1]) for i, v in enumerate(a)]
    expected = {"xx": pytest.approx(100 * sum(both) / len(both), abs=1e-6)}
    assert retrieval(SentenceVectors(model.bert, fast(packed.tokenizer), "mean"), held_out(packed)) == expected
    assert score(packed, written[1]) == expected  # by way of text, from the folder in half precision


def test_an_encoder_goes_on_from_another_on_more_text(written: tuple[State, str], tmp_path: Path) -> None:
    again = packed_small(tmp_path, count=200, tokenizer_of=written[1])
    state = Pretrainer(again, small(start_from=written[1])).start()
    for name, p in written[0].model.state_dict().items():
        assert torch.equal(state.model.state_dict()[name], p.half().float()), name
    assert state.step == 0


def test_an_encoder_to_go_on_from_must_fit(packed: Packed, written: tuple[State, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not of the shape of these settings: num_hidden_layers 2 for 3"):
        Pretrainer(packed, small(start_from=written[1], layers=3)).start()
    shape = {"layers": 3, "width": 384, "heads": 12, "inner_width": 1536, "positions": 512}
    with pytest.raises(ValueError, match="vocab_size 21000 for"):
        Pretrainer(packed, small(start_from="embedded", **shape)).start()
    load_encoder(written[1])[0].save_pretrained(tmp_path / "headless")
    load_encoder(written[1])[1].save_pretrained(tmp_path / "headless")
    with pytest.raises(ValueError, match=r"lacks cls\.predictions.*it must have its masked-LM head"):
        Pretrainer(packed, small(start_from=str(tmp_path / "headless"))).start()
    other = packed_small(tmp_path, vocabulary=packed.tokenizer.get_vocab_size(), count=250)
    with pytest.raises(ValueError, match="has other pieces than the packed text: pack with tokenizer_of="):
        Pretrainer(other, small(start_from=written[1])).start()


def test_every_bad_setting_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?s)mask_rate is 0.*width is 30; it must be a multiple.*length is 600"):
        PretrainSettings(mask_rate=0.0, width=30, length=600)
    with pytest.raises(ValueError, match=r"steps is 1\.5; it must be of type int"):
        PretrainSettings(steps=1.5)  # type: ignore[arg-type]


def test_settings_come_from_the_command_line() -> None:
    found = preset("gpu", **overrides(PretrainSettings, ["steps=7", "bf16=false", "clip=0.5"]))
    assert (found.steps, found.bf16, found.clip, found.batch) == (7, False, 0.5, preset("gpu").batch)
    with pytest.raises(ValueError, match="'step=7': expected FIELD=VALUE"):
        overrides(PretrainSettings, ["step=7"])
    with pytest.raises(ValueError, match="'many' is no int"):
        overrides(PretrainSettings, ["steps=many"])


def test_a_run_is_named_after_settings_and_text() -> None:
    assert len({run_name(small(), "a"), run_name(small(seed=1), "a"), run_name(small(), "b")}) == 3


def test_runs_that_were_begun_before_there_were_teachers_go_on() -> None:
    found = [settings.fingerprint() for settings in (PretrainSettings(), preset("gpu", seed=3), PackSettings())]
    assert found == ["a00b8a06717d", "85cd4409b88a", "4819ad6494c5"]


def test_the_command_runs_from_the_packed_folder_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed_small(tmp_path)
    sets = [f"--set={name}={value}" for name, value in small().to_dict().items() if name != "preset"]
    arguments = ["--packed", str(tmp_path / "packed"), "--storage", str(tmp_path / "runs"), "--preset", "smoke", *sets]
    options = command.parser().parse_args([*arguments, "--output", str(tmp_path / "encoder")])
    command.pretrain(options)
    assert load_encoder(str(tmp_path / "encoder"))[0].config.hidden_size == 32
    assert "step 8: " in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="never overwritten"):
        command.pretrain(options)
