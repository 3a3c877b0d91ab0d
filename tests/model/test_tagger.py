import copy

import pytest
import torch

from metaner_core.encoders.encoder import load_encoder
from metaner_core.method import optim
from metaner_core.method.adapt import steps
from metaner_core.model.encoding import Batch, Encoding, LabelSet, collate
from metaner_core.model.tagger import Tagger, decode, loss
from metaner_core.settings import Settings, preset
from tests.support.small import bert_tokenizer, encoded, save_tiny_xlm_roberta, tiny_bert, tiny_engine

SHORT = Settings(window=6, window_context=2, frozen_layers=1, dropout=0.0)


def slow_loss(logits, batch, reduction, weight):
    """Eq. 3 and 13 sentence by sentence and token by token."""
    tokens = [[] for _ in range(batch.sentences)]
    for scores, label, sentence in zip(logits, batch.labels.tolist(), batch.sentence.tolist(), strict=True):
        tokens[sentence].append(torch.log(torch.exp(scores).sum()) - scores[label])
    if reduction == "sum_of_sentences":
        return sum(sum(part) / len(part) + weight * max(part) for part in tokens)
    everything = [token for part in tokens for token in part]
    return sum(everything) / len(everything) + weight * sum(max(part) for part in tokens) / len(tokens)


@pytest.mark.parametrize("weight", [0.0, 2.0])
@pytest.mark.parametrize("reduction", ["sum_of_sentences", "mean_of_tokens"])
@pytest.mark.parametrize("loss_tokens", ["first", "all"])
def test_the_loss_and_its_gradient_are_those_of_a_slow_loop(loss_tokens, reduction, weight):
    settings = Settings(window=6, window_context=2, loss_tokens=loss_tokens)
    label_set = LabelSet.of(settings)
    batch = collate(encoded(settings), bert_tokenizer(), label_set=label_set)
    torch.manual_seed(0)
    logits = torch.randn(len(batch.row), len(label_set.names), dtype=torch.float64, requires_grad=True)
    fast = loss(logits, batch, reduction=reduction, max_loss_weight=weight)
    slow = slow_loss(logits, batch, reduction, weight)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (fast, slow)))


def test_a_sentence_without_tokens_adds_nothing_to_a_sum():
    encode = Encoding(bert_tokenizer(), SHORT)
    full, empty = encode(["Rome", "fell"], ["B-LOC", "O"]), encode([], [])
    torch.manual_seed(0)
    logits = torch.randn(2, 9)
    losses = [
        loss(
            logits,
            collate(part, bert_tokenizer(), label_set=LabelSet.of(SHORT)),
            reduction="sum_of_sentences",
            max_loss_weight=2.0,
        )
        for part in ([full], [empty, full, empty])
    ]
    assert losses[0] == losses[1]


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def family(request, tmp_path_factory):
    if request.param == "bert":
        return tiny_bert(), bert_tokenizer()
    return load_encoder(save_tiny_xlm_roberta(tmp_path_factory.mktemp("xlm-roberta")))


def test_padding_never_changes_a_sentences_logits(family):
    encoder, tokenizer = family
    tagger = Tagger(copy.deepcopy(encoder), 9, SHORT).eval()
    sentences = encoded(Settings(), tokenizer)
    batch = collate(sentences, tokenizer)
    together = tagger(batch)
    assert batch.attention.min() == 0
    for n, sentence in enumerate(sentences):
        alone = tagger(collate([sentence], tokenizer))
        torch.testing.assert_close(together[batch.sentence == n], alone, atol=1e-5, rtol=1e-5)


def test_logits_are_a_linear_layer_over_the_encoders_vectors(family):
    encoder, tokenizer = family
    tagger = Tagger(copy.deepcopy(encoder), 9, SHORT).eval()
    (sentence,) = encoded(Settings(), tokenizer)[:1]
    ids = torch.tensor([[tokenizer.cls_token_id, *sentence.ids, tokenizer.sep_token_id]])
    hidden = encoder(input_ids=ids).last_hidden_state[0, [i + 1 for i in sentence.first]]
    expected = hidden @ tagger.classifier.weight.T + tagger.classifier.bias
    torch.testing.assert_close(tagger(collate([sentence], tokenizer)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frozen_layers", [0, 2, 3])
@pytest.mark.parametrize("optimizer", ["adam", "bertadam"])
def test_frozen_parameters_get_no_gradient_and_never_change(family, frozen_layers, optimizer):
    encoder, tokenizer = family
    settings = Settings(frozen_layers=frozen_layers)
    tagger = Tagger(copy.deepcopy(encoder), 9, settings)
    before = copy.deepcopy(tagger.state_dict())
    batch = collate(encoded(settings, tokenizer), tokenizer, label_set=LabelSet.of(settings))

    def objective():
        return loss(tagger(batch), batch, reduction="sum_of_sentences", max_loss_weight=2.0)

    objective().backward()
    with_gradient = {name for name, p in tagger.named_parameters() if p.grad is not None}
    steps(tagger, objective, optim.fresh(optimizer, tagger.trained(), 1e-2), 2)
    changed = {name for name, p in tagger.named_parameters() if not torch.equal(p, before[name])}
    layers = {f"encoder.encoder.layer.{i}." for i in range(frozen_layers, 3)}
    expected = {name for name in before if name.startswith(("classifier.", *layers))}
    assert with_gradient == changed == expected == set(tagger.trained())


def test_more_frozen_layers_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="frozen_layers is 4, but the encoder has 3 layers"):
        Tagger(tiny_bert(), 9, Settings(frozen_layers=4))


def test_dropout_is_the_generators_own_and_only_where_one_is_given(family):
    encoder, tokenizer = family
    batch = collate(encoded(Settings(), tokenizer), tokenizer)

    def logits(p, seed=None):
        tagger = Tagger(copy.deepcopy(encoder), 9, Settings(dropout=p)).train()
        torch.rand(3)
        return tagger(batch, None if seed is None else torch.Generator().manual_seed(seed))

    torch.testing.assert_close(logits(0.5), logits(0.0, seed=1), atol=1e-5, rtol=1e-5)
    assert torch.equal(logits(0.5, seed=1), logits(0.5, seed=1))
    assert (logits(0.5, seed=1) - logits(0.5, seed=2)).abs().max() > 1e-3
    assert (logits(0.5, seed=1) - logits(0.5)).abs().max() > 1e-3


def test_the_classifier_starts_from_the_seed():
    def start(seed):
        return Tagger(tiny_bert(), 9, Settings(seed=seed)).classifier.weight

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))


def test_predictions_are_the_likeliest_label_of_each_words_first_subword():
    engine = tiny_engine(SHORT)
    tagger, tokenizer = engine.tagger.eval(), engine.tokenizer
    sentences = engine.source
    batch = collate(sentences, tokenizer)
    predictions = decode(tagger(batch), batch, engine.label_set)
    for sentence, prediction in zip(sentences, predictions, strict=True):
        assert prediction.words == tuple(range(len(sentence.first)))
        for word, i in enumerate(sentence.first):
            window = next(w for w in sentence.windows if w.fresh <= i < w.stop)
            ids = [tokenizer.cls_token_id, *sentence.ids[window.start : window.stop], tokenizer.sep_token_id]
            hidden = tagger.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0, i - window.start + 1]
            chances = torch.softmax(tagger.classifier(hidden), 0)
            assert prediction.labels[word] == engine.label_set.names[chances.argmax()]
            assert prediction.probabilities[word] == pytest.approx(chances.max().item(), abs=1e-5)
    assert len({label for p in predictions for label in p.labels}) > 4


def test_distributions_are_the_softmax_and_go_on_where_words_share_a_subword():
    names = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    at = torch.arange(3)
    sentence, words = torch.tensor([0, 2, 2]), torch.tensor([2, 1, 1])
    batch = Batch(at, at, at, at, sentence, None, torch.tensor([0, 0, 1]), words, 3, at)
    first, none, two = decode(logits, batch, LabelSet(names), every=True)
    expected = torch.softmax(logits, 1).numpy()
    assert first.distributions[0] == pytest.approx(expected[0], abs=1e-3)
    o, b_per, i_per, b_loc, i_loc = expected[0]
    assert first.distributions[1] == pytest.approx([o, 0, b_per + i_per, 0, b_loc + i_loc], abs=1e-3)
    assert none.distributions.shape == (0, 5)
    assert two.distributions == pytest.approx(expected[1:], abs=1e-3)
    assert first.distributions.dtype == "float16"


def test_what_no_word_can_be_is_a_words_o():
    label_set = LabelSet(("[PAD]", "O", "B-PER", "I-PER", "X", "[CLS]", "[SEP]"), "X", "[CLS]", "[SEP]")
    word, logits = torch.tensor([0]), torch.randn(1, 7, generator=torch.Generator().manual_seed(0))
    batch = Batch(word, word, word, word, word, None, word, word + 1, 1, word)
    (found,) = decode(logits, batch, label_set, every=True)
    p = torch.softmax(logits, 1)[0].tolist()
    assert label_set.words == ("O", "B-PER", "I-PER")
    assert found.distributions[0] == pytest.approx([1 - p[2] - p[3], p[2], p[3]], abs=1e-3)


def decoded(label_set, name):
    word = torch.tensor([0])
    logits = torch.full((1, len(label_set.names)), -9.0)
    logits[0, label_set.id(name)] = 9.0
    batch = Batch(word, word, word, word, word, None, word, word + 1, 1, word)
    return decode(logits, batch, label_set)[0].labels


@pytest.mark.parametrize("name", ["[PAD]", "X", "[CLS]", "[SEP]", "O"])
def test_a_label_that_no_word_has_reads_as_o(name):
    assert decoded(LabelSet.of(preset("official-code")), name) == ("O",)


@pytest.mark.parametrize("preset_name", ["paper", "official-code"])
def test_every_entity_label_reads_as_itself(preset_name):
    label_set = LabelSet.of(preset(preset_name))
    entities = [name for name in label_set.names if name[1:2] == "-"]
    assert len(entities) == 8
    assert [decoded(label_set, name) for name in entities] == [(name,) for name in entities]
