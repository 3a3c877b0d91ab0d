"""The model card of a bundle, or of what was exported from it: Markdown with the front matter that model hubs read.

metaner card out/bundle
metaner card s3://bucket/bundle --output card.md

It is made from the bundle's manifest alone. What the manifest lacks, or has in an odd form, is left out.
"""

import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from metaner_core import command, storage
from metaner_core.encoders import e5_small, licences
from metaner_core.settings import SAME

SHOWN = 10  # scores on the way to the best one


EXAMPLES = ("out/bundle", "s3://bucket/bundle --output README.md")


def card(manifest: Mapping[str, Any], place: str, *, exported: str | None = None) -> str:
    """The card. place: where the bundle or the exported folder is. exported: None, `transformers` or `onnx`."""
    settings, source, best = (_mapping(manifest.get(key)) for key in ("settings", "source", "best"))
    labels = _words(manifest.get("labels"))
    extra = [label for label in labels if label != "O" and label[:2] not in ("B-", "I-")]
    stride, window = settings.get("window_context"), settings.get("window")
    text = _template().render(
        exported=exported,
        types=list(dict.fromkeys(label[2:] for label in labels if label[:2] in ("B-", "I-"))),
        language=_language(manifest),
        facts=_facts(manifest, settings, source),
        inner_steps=_number(settings.get("inner_steps")),
        settings=json.dumps(settings, indent=1),
        labels=labels,
        extra=extra,
        loss_tokens=settings.get("loss_tokens"),
        f1=_number(best.get("dev_f1")),
        update=_number(best.get("update")),
        selected_on=best.get("selected_on"),
        history=_history(manifest.get("history")),
        tuned=_tuned(manifest),
        distilled="distilled" in manifest,
        folder=repr(place.rstrip("/").rpartition("/")[2] if storage.is_remote(place) and exported else place),
        shell=shlex.quote(place),
        stride=stride if isinstance(stride, int) else 0,
        ignore=f", ignore_labels={['O', *extra]!r}" if extra else "",
        window=window if isinstance(window, int) else "a bounded number of",
        longest=window + 2 if isinstance(window, int) else 512,
        licence=_licence_in_words(_encoders(manifest, exported)),
    )
    return f"---\n{_front_matter(manifest, place, exported)}---\n\n{text}"


def _facts(manifest: Mapping[str, Any], settings: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, str]:
    sentences = _number(_mapping(manifest.get("distilled")).get("labelled", source.get("sentences")))
    versions = _mapping(manifest.get("versions"))
    facts = {
        "Source of the labels": manifest.get("source_name"),
        "Sentences of it": f"{sentences:,.0f}" if sentences is not None else None,
        "Encoder": manifest.get("encoder"),
        "Encoder that finds the neighbours": _retrieval_encoder(manifest),
        "Fine-tuned on": _tuned(manifest),
        "Taught by": ", ".join(_words(_mapping(manifest.get("distilled")).get("teachers"))),
        "Tagged sentences that it learnt from": _taught(manifest),
        "Preset": settings.get("preset"),
        "Bundle": manifest.get("fingerprint"),
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return {name: word for name, value in facts.items() if (word := _word(value))}


def _front_matter(manifest: Mapping[str, Any], place: str, exported: str | None) -> str:
    from huggingface_hub import ModelCardData  # late: it takes a second

    encoder = _word(manifest.get("encoder"))
    results = _results(manifest, exported)
    tags = ["token-classification", "named-entity-recognition", "cross-lingual"]
    found = ModelCardData(
        language=[_language(manifest)],
        library_name=exported or "metaner",
        pipeline_tag="token-classification",
        tags=[*tags, "onnx"] if exported == "onnx" else tags,
        base_model=_hub_name(encoder),
        metrics=["f1"] if results else None,
        model_name=_word(Path(place).name) or "metaner",
        eval_results=results or None,
        **_licence(_encoders(manifest, exported)),
    )
    return found.to_yaml() + "\n"


def _results(manifest: Mapping[str, Any], exported: str | None) -> list[Any]:
    """The best dev F1, if it is this model's: one that was measured adapted is not that of an exported model."""
    from huggingface_hub import EvalResult

    best = _mapping(manifest.get("best"))
    f1 = _number(best.get("dev_f1"))
    if f1 is None or _tuned(manifest) or (exported and best.get("selected_on") == "adapted"):
        return []
    source = _word(manifest.get("source_name")) or "development sentences"
    result = EvalResult(
        task_type="token-classification",
        task_name="Named entity recognition",
        dataset_type=source,
        dataset_name=f"{source} (dev)",
        dataset_split="dev",
        metric_type="f1",
        metric_name="F1 of whole entities, percent",
        metric_value=round(f1, 2),
    )
    return [result]


def _tuned(manifest: Mapping[str, Any]) -> str | None:
    """The labels that a bundle was fine-tuned on; None: on none."""
    tuned = _mapping(manifest.get("tuned"))
    corpus, sentences = _word(tuned.get("corpus")), _number(tuned.get("sentences"))
    return f"{sentences:,.0f} sentences of {corpus}" if corpus and sentences is not None else None


def _taught(manifest: Mapping[str, Any]) -> str | None:
    """How many tagged sentences a student had, and of which languages."""
    kept = _mapping(_mapping(_mapping(manifest.get("distilled")).get("selection")).get("kept"))
    sentences = _number(kept.get("sentences"))
    languages = ", ".join(filter(None, map(_word, sorted(_mapping(kept.get("languages"))))))
    return f"{sentences:,.0f} ({languages})" if sentences is not None else None


def _language(manifest: Mapping[str, Any]) -> str:
    """Of the labels: the corpus', and English for files of which no language is known."""
    from metaner_core.data.corpora import CORPORA

    spec = CORPORA.get(_word(manifest.get("source_name")) or "")
    return spec.language if spec else "en"


def _encoders(manifest: Mapping[str, Any], exported: str | None) -> list[str | None]:
    """Whose weights are in it: an exported model retrieves nothing."""
    own, other = _word(manifest.get("encoder")), _retrieval_encoder(manifest)
    return [own] if exported or other is None else [own, other]


def _retrieval_encoder(manifest: Mapping[str, Any]) -> str | None:
    """The one that finds neighbours, if it is another than the tagger's."""
    found = _word(_mapping(manifest.get("settings")).get("retrieval_encoder"))
    return None if found in (SAME, _word(manifest.get("encoder"))) else found


def _licence(encoders: Sequence[str | None]) -> dict[str, Any]:
    found = {licences.of(encoder) for encoder in encoders}
    if licences.NON_COMMERCIAL in found:
        return {"license": "other", "license_name": licences.NON_COMMERCIAL}
    if None in found:
        return {}
    known = sorted(map(str, found))
    return {"license": known[0]} if len(known) == 1 else {"license": "other", "license_name": "-and-".join(known)}


def _licence_in_words(encoders: Sequence[str | None]) -> str:
    words = [_one_in_words("the encoder", licences.of(encoders[0]))]
    words += [_one_in_words("the one that finds neighbours", licences.of(encoder)) for encoder in encoders[1:]]
    return "; ".join(words) + "."


def _one_in_words(name: str, known: str | None) -> str:
    if known == licences.NON_COMMERCIAL:
        return f"{name} has read text for non-commercial use only, so this model is for such use too"
    return f"{name} is published under {known}" if known else f"that of {name} is not known here"


def _hub_name(encoder: str | None) -> str | None:
    """Its repository on a hub, if it may be one and is nothing that lies here."""
    if encoder == e5_small.NAME:
        return e5_small.HUB
    if encoder is None or encoder == "embedded" or Path(encoder).exists():
        return None
    return encoder if re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", encoder) else None


def _history(value: Any) -> list[tuple[float, float]]:
    """Updates and dev scores, thinned to SHOWN of them, the last one included."""
    rows = [(_number(row.get("update")), _number(row.get("dev_f1"))) for row in map(_mapping, _list(value))]
    known = [(update, f1) for update, f1 in rows if update is not None and f1 is not None]
    return known[:: -math.ceil(len(known) / SHOWN)][::-1] if known else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _words(value: Any) -> list[str]:
    return [word for item in _list(value) if (word := _word(item))]


def _word(value: Any) -> str | None:
    """A string on one line, without what cannot be printed: control characters, halves of surrogate pairs."""
    if not isinstance(value, str):
        return None
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(value.split())) or None


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def code(text: object) -> str:
    """A code span, in which nothing is markup."""
    shown = str(text)
    runs: Iterable[str] = re.findall("`+", shown)
    fence = "`" * (max(map(len, runs), default=0) + 1)
    space = " " if len(fence) > 1 else ""  # a span may not begin or end with a backtick of its own
    return f"{fence}{space}{shown}{space}{fence}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,  # a misspelt name is an error, not a blank
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = code
    return environment.get_template("model_card.md.jinja")


def read_manifest(uri: str) -> dict[str, Any]:
    """A bundle's manifest; its files are not looked at. Raises FileNotFoundError or ValueError: it is no bundle."""
    place = storage.join(uri, storage.MANIFEST)
    try:
        manifest = json.loads(storage.read_bytes(place))
    except FileNotFoundError:
        raise FileNotFoundError(f"{uri} is no bundle: it has no {storage.MANIFEST}; give a bundle's folder") from None
    except ValueError as error:
        raise ValueError(f"{place} is no JSON ({error}); give a bundle's folder") from None
    if not isinstance(manifest, dict) or not manifest.keys() & {"settings", "labels"}:
        raise ValueError(f"{place} is no bundle's manifest: it has no settings and no labels; give a bundle's folder")
    return manifest


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. An error of the user's ends it in one readable line and exit status 2."""
    parser = command.CommandParser("metaner_core.bundles.model_card", "Write a bundle's model card.", EXAMPLES)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder or s3:// prefix")
    parser.add_argument("--output", metavar="FILE", help="an unused file name or s3:// key (default: show the card)")
    options = parser.parse_args(arguments)
    command.run(lambda: _show(options.bundle, options.output))


def _show(uri: str, output: str | None) -> None:
    if output:
        storage.require_unused(output, "card")
    text = card(read_manifest(uri), uri)
    if output is None:
        command.say(text.rstrip("\n"))
        return
    storage.write_whole(output, text.encode())
    command.say(f"card at {output}")


if __name__ == "__main__":
    main()
