"""The packed forward pass against transformers' own, and noise that belongs to its owner."""

import dataclasses
import itertools

import pytest
import torch

from metaner_core.encoders.encoder import load_encoder, require_known
from metaner_core.model import transformer
from metaner_core.model.encoding import collate
from metaner_core.model.transformer import ModuleWeights, Noise, classify, embed, finish, narrow, pack, run_layers
from metaner_core.settings import Settings
from tests.support.small import encoded, save_tiny_xlm_roberta, tiny_engine

SETTINGS = Settings(window=8, window_context=3, frozen_layers=1)


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def engine(request, tmp_path_factory):
    if request.param == "bert":
        return tiny_engine(SETTINGS)
    encoder, tokenizer = load_encoder(save_tiny_xlm_roberta(tmp_path_factory.mktemp("xlm")))
    return tiny_engine(SETTINGS, encoder=encoder, tokenizer=tokenizer)


def logits(engine, batch, noise=None):
    packed, weights = pack(batch), ModuleWeights(engine.tagger)
    x = run_layers(engine.tagger, packed, embed(engine.tagger, packed, noise), weights, noise)
    return classify(packed, x, weights, noise)


@pytest.mark.parametrize("short", [0, transformer.SHORT], ids=["torch's attention", "products"])
@pytest.mark.parametrize("window", [6, 8, 128])
@torch.no_grad()
def test_it_computes_what_transformers_does(engine, window, short, monkeypatch):
    monkeypatch.setattr(transformer, "SHORT", short)
    settings = dataclasses.replace(SETTINGS, window=window)
    batch = collate(encoded(settings, engine.tokenizer), engine.tokenizer, label_set=engine.label_set)
    assert not batch.attention.all()  # there is padding
    torch.testing.assert_close(logits(engine, batch), engine.tagger(batch), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("first", [0, 1, 2, 3])
@pytest.mark.parametrize("overlaps", [False, True])
@torch.no_grad()
def test_the_tokens_that_are_not_asked_for_have_no_part_in_the_logits(engine, overlaps, first, dropped):
    batch = collate(engine.source, engine.tokenizer, overlaps=overlaps)
    packed, weights = pack(batch), ModuleWeights(engine.tagger)
    assert len(batch.row) < packed.tokens
    owners = range(batch.sentences)
    seen = noise(engine, packed, 0.3, owners, owners) if dropped else None
    x = run_layers(engine.tagger, packed, embed(engine.tagger, packed, seen), weights, seen, last=first)
    found = finish(engine.tagger, packed, x, weights, seen, first=first)
    expected = logits(engine, batch, noise(engine, packed, 0.3, owners, owners) if dropped else None)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_modules_past_the_last_attention_see_the_positions_only(engine):
    rows = {}

    class Watched(ModuleWeights):
        def linear(self, names, x):
            rows.update(dict.fromkeys(names, len(x)))
            return super().linear(names, x)

        def scale(self, name, x):
            rows[name] = len(x)
            return super().scale(name, x)

    batch = collate(engine.source, engine.tokenizer)
    packed = pack(batch)
    finish(engine.tagger, packed, embed(engine.tagger, packed), Watched(engine.tagger), first=0)
    assert {name for name, n in rows.items() if n == len(batch.row)} == narrow(engine.tagger)
    assert len(narrow(engine.tagger)) == 6
    assert {name for name, n in rows.items() if n == packed.tokens} == set(rows) - narrow(engine.tagger)


@torch.no_grad()
@pytest.mark.parametrize("fewest", [0, 3, 128])
def test_every_real_token_has_one_place_in_the_padded_attentions(engine, monkeypatch, fewest):
    """As a CPU has them, and as a GPU does, of which groups have so many windows at least."""
    cuts = transformer._cuts
    monkeypatch.setattr(transformer, "_cuts", lambda sizes, _: cuts(sizes, "cuda" if fewest else "cpu"))
    monkeypatch.setattr(transformer, "GPU_WINDOWS", fewest)
    packed = pack(collate(engine.source, engine.tokenizer))
    padded = torch.cat([group.index.flatten() for group in packed.alike])
    assert padded[packed.back].tolist() == list(range(packed.tokens))
    assert packed.tokens == int(packed.batch.attention.sum())
    assert sorted(torch.cat([group.windows for group in packed.alike]).tolist()) == list(range(len(packed.lengths)))
    assert all(len(group.windows) >= fewest for group in packed.alike[:-1])
    real = [int(real_places(group).sum()) for group in packed.alike]
    assert real == [sum(packed.lengths[w] for w in group.windows) for group in packed.alike]


def real_places(group):
    """[w, T], True where a token is."""
    return torch.ones(group.index.shape).bool() if group.padding is None else group.padding[:, 0, 0] == 0


def noise(engine, packed, p, seeds, owners):
    return Noise(p, [torch.Generator().manual_seed(seed) for seed in seeds], packed, owners, engine.tagger)


@torch.no_grad()
def test_noise_is_the_owners_own_whoever_else_is_in_the_batch(engine):
    """Owners 0: sentences 0 and 1, 1: sentence 2, 2: sentences 3 to 5."""
    owners = [0, 0, 1, 2, 2, 2]
    batch = collate(engine.source[:6], engine.tokenizer)
    together = logits(engine, batch, noise(engine, pack(batch), 0.3, [7, 8, 9], owners))
    for owner, seed in enumerate((7, 8, 9)):
        mine = [s for s, o in zip(engine.source, owners, strict=False) if o == owner]
        alone = collate(mine, engine.tokenizer)
        found = logits(engine, alone, noise(engine, pack(alone), 0.3, [seed], [0] * len(mine)))
        expected = together[[owners[s] == owner for s in batch.sentence.tolist()]]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        assert (found - logits(engine, alone)).abs().max() > 1e-3


@torch.no_grad()
def test_noise_falls_on_every_place_that_dropout_has_in_transformers(engine, monkeypatch):
    """Embeddings; in each layer attention weights, attention and layer output; the head. Each mask is used once."""
    calls = []

    def told(name):
        own = getattr(Noise, name)

        def call(self, *arguments):
            calls.append(name)
            return own(self, *arguments)

        monkeypatch.setattr(Noise, name, call)

    for name in ("tokens", "attention", "positions"):
        told(name)
    batch = collate(engine.source, engine.tokenizer)
    used = noise(engine, pack(batch), 0.3, [1], [0] * batch.sentences)
    logits(engine, batch, used)
    assert calls == ["tokens", *(3 * ["attention", "tokens", "tokens"]), "positions"]
    with pytest.raises(StopIteration):
        used.attention()
    with pytest.raises(StopIteration):
        used.tokens(torch.zeros(1))


@torch.no_grad()
def test_noise_drops_its_share_and_keeps_the_mean(engine):
    packed = pack(collate(engine.source * 40, engine.tokenizer))
    drawn = noise(engine, packed, 0.3, [3], [0] * 400)
    masks = [drawn.tokens(torch.ones(packed.tokens, 32, dtype=torch.float64)) for _ in range(7)]
    masks.append(drawn.positions(torch.ones(len(packed.batch.row), 32, dtype=torch.float64)))
    for layer in [drawn.attention() for _ in range(3)]:
        padding, real = [], []
        for group, mask in zip(packed.alike, layer, strict=True):
            both = real_places(group)
            inside = (both[:, :, None] & both[:, None, :])[:, None].expand_as(mask)
            real.append(mask[inside])
            padding.append(mask[~inside])
        assert not torch.cat(padding).any()
        masks.append(torch.cat(real))
    for mask in masks:
        assert mask.mean().item() == pytest.approx(1, abs=0.02)
        assert (mask == 0).double().mean().item() == pytest.approx(0.3, abs=0.02)
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(masks, 2))


def test_an_encoder_with_other_layers_is_refused(engine):
    encoder = tiny_engine(SETTINGS).tagger.encoder
    encoder.encoder.layer[1].extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"layer 1 differs from BERT's in extra.bias, extra.weight: use an encoder of"):
        require_known(encoder)
