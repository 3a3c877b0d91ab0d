"""A copy that shares its frozen layers: trained like a whole copy, and the encoder it is of stays as it was."""

import copy

import pytest
import torch

from metaner_core.encoders.encoder import trainable_copy
from metaner_core.model.encoding import LabelSet, collate
from metaner_core.model.tagger import Tagger, loss
from metaner_core.settings import Settings
from tests.support.small import bert_tokenizer, encoded, tiny_bert


@pytest.fixture(params=[0, 1, 3])
def settings(request):
    return Settings(frozen_layers=request.param, dropout=0.0)


def taggers(settings):
    """The encoder, a tagger on a sharing copy of it, and one on a whole copy."""
    encoder = tiny_bert().requires_grad_(False)
    whole = copy.deepcopy(encoder).requires_grad_(True)
    return encoder, *(Tagger(e, 9, settings) for e in (trainable_copy(encoder, settings.frozen_layers), whole))


def test_the_frozen_numbers_are_the_encoders_own_and_no_others_are(settings):
    encoder, sharing, _ = taggers(settings)
    held = {name: p.data_ptr() for name, p in encoder.named_parameters()}
    same = {name for name, p in sharing.encoder.named_parameters() if p.data_ptr() == held[name]}
    frozen = ("embeddings.", *(f"encoder.layer.{n}." for n in range(settings.frozen_layers)))
    assert same == {name for name in held if name.startswith(frozen)}
    assert same == {name for name, p in sharing.encoder.named_parameters() if not p.requires_grad}
    assert not any(p.requires_grad for p in encoder.parameters())


def test_it_has_the_parameters_of_a_whole_copy(settings):
    _, sharing, whole = taggers(settings)
    assert sharing.trained().keys() == whole.trained().keys()
    assert sharing.state_dict().keys() == whole.state_dict().keys()
    assert all(torch.equal(a, whole.state_dict()[name]) for name, a in sharing.state_dict().items())


def test_training_goes_as_with_a_whole_copy_and_leaves_the_encoder(settings):
    encoder, sharing, whole = taggers(settings)
    before = copy.deepcopy(encoder.state_dict())
    for tagger in (sharing, whole):
        batch = collate(encoded(settings), bert_tokenizer(), label_set=LabelSet.of(settings))
        optimizer = torch.optim.Adam(tagger.trained().values(), lr=1e-2)
        loss(tagger(batch), batch, reduction="sum_of_sentences", max_loss_weight=0.0).backward()
        optimizer.step()
    assert all(torch.equal(a, whole.state_dict()[name]) for name, a in sharing.state_dict().items())
    assert any(
        not torch.equal(a, b) for a, b in zip(sharing.parameters(), taggers(settings)[1].parameters(), strict=True)
    )
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_encoder_stays_as_it_was_when_the_copy_is_cast(settings):
    encoder, sharing, _ = taggers(settings)
    ids = torch.tensor([[5, 6, 7]])
    before = encoder(input_ids=ids).last_hidden_state
    sharing.double()
    assert {p.dtype for p in sharing.parameters()} == {torch.float64}
    assert torch.equal(encoder(input_ids=ids).last_hidden_state, before)
