import dataclasses
import json

import pytest

from metaner_core.settings import CHOICES, PRESETS, Settings, parse_overrides, preset

NAN, INFINITY = float("nan"), float("inf")
BAD = [
    *[(name, "other") for name in CHOICES],
    ("retrieval_encoder", ""),
    *[("types", value) for value in ((), ("PER", "PER"), ("PER", "GPE"), "PER")],
    *[(name, 0) for name in ("neighbours", "tasks_per_update", "meta_updates", "adapt_steps", "dev_every")],
    *[(name, -1) for name in ("seed", "window_context", "frozen_layers", "inner_steps")],
    *[(name, bad) for name in ("alpha", "beta", "gamma", "max_loss_weight") for bad in (-1e-9, NAN, INFINITY)],
    *[(name, bad) for name in ("dropout", "mask_ratio", "warmup") for bad in (-0.1, 1.1, NAN)],
    ("window", 1),
    ("window_context", 128),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_field_is_named(name, value):
    with pytest.raises(ValueError, match=rf"\b{name} is "):
        Settings(**{name: value})


def test_every_bad_field_is_reported_at_once():
    values = dict(BAD)
    with pytest.raises(ValueError) as error:
        Settings(**values)
    assert [name for name in values if f"\n  {name} is " not in str(error.value)] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("alpha", "3e-5"), ("window", "128"), ("inner_steps", 1.5), ("seed", NAN), ("adapt_dropout", "false")],
)
def test_a_value_of_the_wrong_type_is_a_bad_field(name, value):
    with pytest.raises(ValueError, match=rf"\b{name} is "):
        Settings(**{name: value})


def test_the_default_is_the_papers_text():
    settings = Settings()
    assert (settings.window, settings.window_context) == (128, 64)
    assert (settings.neighbours, settings.mask_ratio, settings.max_loss_weight) == (2, 0.2, 2.0)
    assert (settings.frozen_layers, settings.dropout, settings.warmup) == (3, 0.1, 0.1)
    assert (settings.inner_steps, settings.tasks_per_update, settings.meta_updates) == (2, 32, 3000)
    assert (settings.alpha, settings.beta, settings.gamma, settings.adapt_steps) == (3e-5, 3e-5, 1e-5, 1)
    assert preset("paper") == settings


@pytest.mark.parametrize(
    ("name", "differences"),
    [
        ("without-max-loss", {"max_loss_weight": 0.0}),
        ("without-masking", {"mask_ratio": 0.0}),
        ("without-both", {"max_loss_weight": 0.0, "mask_ratio": 0.0}),
        ("base", {"inner_steps": 0, "max_loss_weight": 0.0, "mask_ratio": 0.0}),
    ],
)
def test_an_ablation_differs_from_the_paper_in_nothing_else(name, differences):
    paper, ablated = preset("paper").to_dict(), preset(name).to_dict()
    assert {k: v for k, v in ablated.items() if v != paper[k]} == {"preset": name, **differences}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_knows_its_name_and_takes_overrides(name):
    settings = preset(name, seed=7, gamma=0.5)
    assert (settings.preset, settings.seed, settings.gamma) == (name, 7, 0.5)
    assert dataclasses.replace(settings, seed=0, gamma=preset(name).gamma) == preset(name)


def test_the_adaptation_goes_by_the_optimizer_of_training_unless_it_has_its_own():
    assert (preset("paper").adapts_with, preset("official-code").adapts_with) == ("adam", "bertadam")
    own = preset("official-code", adapt_optimizer="scaled_sgd")
    assert (own.optimizer, own.adapts_with) == ("bertadam", "scaled_sgd")
    assert preset("official-code").adapting({"adapt_optimizer": "sgd", "gamma": 0.01}).adapts_with == "sgd"


def test_unknown_names_are_errors_that_list_the_known():
    with pytest.raises(ValueError, match="preset 'papr' is unknown; there are paper, official-code"):
        preset("papr")
    with pytest.raises(ValueError, match=r"no field lr, typos; there are .*alpha.*beta"):
        preset("paper", typos=1, lr=1)


def another_value(field, settings):
    value = getattr(settings, field.name)
    if field.name in CHOICES:
        return next(choice for choice in CHOICES[field.name] if choice != value)
    if isinstance(value, bool):
        return not value
    if field.name == "types":
        return value[::-1]
    return value + "?" if isinstance(value, str) else value + 1 if isinstance(value, int) else value / 2


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda f: f.name)
def test_the_fingerprint_changes_with_each_field(field):
    settings = Settings()
    changed = dataclasses.replace(settings, **{field.name: another_value(field, settings)})
    assert changed.fingerprint() != settings.fingerprint()


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_json(name):
    settings = preset(name, types=("PER", "ORG"))
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert (again, again.fingerprint()) == (settings, settings.fingerprint())


def test_overrides_are_read_as_their_fields_types():
    pairs = ["alpha=1e-4", "window=64", "types=PER,LOC", "adapt_dropout=True", "similarity=cosine"]
    assert parse_overrides(pairs) == {
        "alpha": 1e-4,
        "window": 64,
        "types": ("PER", "LOC"),
        "adapt_dropout": True,
        "similarity": "cosine",
    }


@pytest.mark.parametrize("pair", ["alpha", "=1", "lr=1", "window=12.5", "alpha=fast", "adapt_dropout=maybe"])
def test_a_malformed_override_is_quoted(pair):
    with pytest.raises(ValueError, match=f"--set '{pair}'"):
        parse_overrides([pair])
