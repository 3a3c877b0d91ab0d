"""The bundle: one folder (or s3:// prefix) with all that a tagging actor needs, and a manifest that vouches for it.

encoder/            the frozen pre-trained encoder and its tokenizer, for retrieval and as the base of the tagger
retrieval/          another one for retrieval, if the settings have it so
tagger.safetensors  θ*: the trained parameters (the frozen ones are the encoder's)
support.jsonl       the source sentences, {"words": [...], "labels": [...]} a line; a neighbour's id is its line. One
                    without any, a student's, tags without neighbours
index.safetensors   their sentence vectors [N, d], float32; one for each window where the settings have it so
manifest.json       settings, fingerprints, versions, scores, and size and SHA-256 of every file
"""

import functools
import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from metaner_core import __version__, storage
from metaner_core.bundles.manifest import FORMAT, MANIFEST, NO_NEIGHBOURS, not_whole, read, size_problems, written_by
from metaner_core.bundles.prepare import Prepared
from metaner_core.data.corpora import Sentence
from metaner_core.data.sentences import fingerprint
from metaner_core.encoders.encoder import load_encoder, longest_input, trainable_copy
from metaner_core.engine.adapting import new_engine
from metaner_core.engine.config import BATCHED, EngineConfig
from metaner_core.method.adapt import Engine, silent
from metaner_core.method.retrieval import Retrieval, SupportIndex
from metaner_core.model.bottoms import Bottoms
from metaner_core.model.encoding import Encoding, LabelSet
from metaner_core.model.examples import Examples
from metaner_core.model.inputs import Input, Inputs
from metaner_core.model.tagger import Tagger
from metaner_core.settings import Settings

ENCODER, RETRIEVAL = "encoder", "retrieval"  # folders
COMPUTED = ("format", "fingerprint", "settings", "labels", "source", "versions", "files")  # of a manifest, when written


@dataclass(frozen=True)
class Bundle:
    """A meta-trained tagger with its source sentences, ready for retrieval and adaptation.

    Where retrieval has the tagger's own encoder, the two share its frozen layers: one copy is in memory.
    """

    settings: Settings
    tagger: Tagger
    tokenizer: PreTrainedTokenizerBase
    retrieval: Retrieval
    source: tuple[Sentence, ...]
    vectors: np.ndarray  # [N, d]
    manifest: Mapping[str, Any]
    device: torch.device | str = "cpu"
    config: EngineConfig = BATCHED
    tell: Callable[[int], object] = silent  # of progress, as engines do

    @functools.cached_property
    def inputs(self) -> Inputs:
        """Makes what tagging and retrieval read of a sentence from its words."""
        longest = longest_input(self.tagger.encoder)
        return Inputs(self.tokenizer, self.settings, retrieval=self.retrieval.tokenizer, longest=longest)

    @property
    def encode(self) -> Encoding:
        return self.inputs.encode

    @property
    def adapts(self) -> bool:
        """Whether it has sentences to adapt to."""
        return bool(self.source)

    @functools.cached_property
    def index(self) -> SupportIndex:
        """Raises ValueError when there is nothing to find."""
        if not self.adapts:
            raise ValueError(f"bundle {self.manifest['fingerprint']} {NO_NEIGHBOURS}")
        return SupportIndex(self.vectors, similarity=self.settings.similarity)

    @functools.cached_property
    def engine(self) -> Engine:
        source, labels = self._source.encoded, LabelSet.of(self.settings)
        return new_engine(
            self.config, self.tagger, self.tokenizer, labels, self.settings, source, self.device, self.tell
        )

    @functools.cached_property
    def _source(self) -> Examples:
        return self.examples([self.inputs(s.words, s.labels) for s in self.source])

    def examples(self, sentences: Sequence[Input]) -> Examples:
        """What of the sentences is adapted to by itself."""
        return Examples.of(sentences, self.settings)

    def nearest(self, examples: Sequence[Input], bottoms: Bottoms | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Ids, in `engine.source`, and similarities [n, K] of each example's nearest ones. bottoms: the engine's, if
        they are adapted then. Meanwhile it tells of 0 sentences, time and again: it goes on, none is tagged yet."""
        subwords = [example.retrieval for example in examples]
        return self.retrieval.support(subwords, self.index, bottoms, lambda: self.tell(0))

    def sentences(self, ids: np.ndarray) -> np.ndarray:
        """The source sentences that ids of `nearest` are, or are windows of."""
        return ids if self.settings.long_sentences == "whole" else np.asarray(self._source.sentence)[ids]

    def support(self, sentences: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids, in `source`, and similarities [n, K] of the nearest of sentences in words, or of the first window."""
        examples = self.examples([self.inputs(words) for words in sentences])
        ids, similarities = self.nearest([examples.inputs[i] for i in examples.first])
        return self.sentences(ids), similarities


def write(uri: str, prepared: Prepared, *, facts: Mapping[str, Any], run: str | None = None) -> dict[str, Any]:
    """Write a bundle of a trained tagger; the manifest goes last. facts: what else it should say (scores, command).

    run: a name for all that decides the bundle; what the same run left when it was stopped while writing is replaced,
    and what it wrote to the end stays as it is. Raises FileExistsError when anything else lies at uri already. Returns
    the manifest.
    """

    def fill(folder: Path) -> None:
        prepared.encoder.save_pretrained(folder / ENCODER)
        prepared.tokenizer.save_pretrained(folder / ENCODER)
        if prepared.retrieval.encoder is not prepared.encoder:
            prepared.retrieval.encoder.save_pretrained(folder / RETRIEVAL)
            prepared.retrieval.tokenizer.save_pretrained(folder / RETRIEVAL)
        rows = [json.dumps({"words": s.words, "labels": s.labels}, ensure_ascii=False) + "\n" for s in prepared.source]
        (folder / "support.jsonl").write_text("".join(rows), encoding="utf-8")
        save_arrays({"vectors": np.ascontiguousarray(prepared.vectors)}, folder / "index.safetensors")

    engine = prepared.trainer.engine
    return write_filled(uri, fill, engine.tagger, engine.settings, prepared.source, facts, run)


def write_with_other_weights(
    uri: str, start: Bundle, begun: str, *, facts: Mapping[str, Any], run: str | None = None
) -> dict[str, Any]:
    """Write the bundle that was loaded from `begun` with what its tagger's parameters are now. The rest is `write`."""

    def fill(folder: Path) -> None:
        with storage.local_copy(begun) as here:
            shutil.copytree(here, folder, dirs_exist_ok=True)

    own = {key: start.manifest[key] for key in start.manifest if key not in COMPUTED}
    return write_filled(uri, fill, start.tagger, start.settings, start.source, {**own, **facts}, run)


def write_filled(
    uri: str,
    fill: Callable[[Path], None],
    tagger: Tagger,
    settings: Settings,
    source: Sequence[Sentence],
    facts: Mapping[str, Any],
    run: str | None,
) -> dict[str, Any]:
    """Write what `fill` puts into a folder, the tagger's parameters and the manifest. The rest is `write`."""
    if run is not None and (whole := written_by(uri, run)) is not None:
        return whole
    storage.require_unused(uri, "bundle", run=run)
    with tempfile.TemporaryDirectory(prefix="metaner-bundle-") as name:
        folder = Path(name)
        fill(folder)
        (folder / MANIFEST).unlink(missing_ok=True)
        theta = {n: p.detach().cpu().contiguous() for n, p in tagger.trained().items()}
        save_file(theta, folder / "tagger.safetensors")
        manifest = _manifest(folder, settings, source, {**facts, "run": run})
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
        storage.publish(folder, uri, last=MANIFEST, run=run)
    return manifest


def _manifest(folder: Path, settings: Settings, source: Sequence[Sentence], facts: Mapping[str, Any]) -> dict[str, Any]:
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    versions = {"metaner": __version__, "torch": torch.__version__, "transformers": transformers.__version__}
    return {
        "format": FORMAT,
        "fingerprint": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12],
        "settings": settings.to_dict(),
        "labels": LabelSet.of(settings).names,
        "source": {"sentences": len(source), "fingerprint": fingerprint(source)},
        "versions": {**versions, "python": platform.python_version()},
        **facts,
        "files": files,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(
    uri: str,
    *,
    device: torch.device | str = "cpu",
    config: EngineConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    tell: Callable[[int], object] = silent,
) -> Bundle:
    """Read and verify a bundle. config: its engine; None: the batched one in fp32. changes: see `Settings.adapting`.

    tell: called with how many more sentences are tagged, as `adapt.Engine` does.

    Raises FileNotFoundError or ValueError naming every file that is missing or altered, and ValueError when the
    retrieval encoder cannot be the one that made the index.
    """
    read(uri)  # before all of it is downloaded
    with storage.local_copy(uri) as folder:
        manifest = _verified(folder, uri)
        settings = Settings.from_dict(manifest["settings"]).adapting(changes or {})
        encoder, tokenizer = load_encoder(str(folder / ENCODER))
        config = config or BATCHED
        retrieval = _retrieval(folder, manifest, settings, encoder, tokenizer, device, config)
        if retrieval.encoder is encoder:
            encoder = trainable_copy(encoder, settings.frozen_layers)
        tagger = Tagger(encoder, len(LabelSet.of(settings).names), settings).to(device)
        _load_theta(tagger, load_file(folder / "tagger.safetensors"))
        rows = [json.loads(row) for row in (folder / "support.jsonl").read_text(encoding="utf-8").split("\n") if row]
        vectors = load_arrays(folder / "index.safetensors")["vectors"]
    _require_its_index(uri, retrieval, vectors, settings)
    source = tuple(Sentence(tuple(row["words"]), tuple(row["labels"])) for row in rows)
    return Bundle(settings, tagger, tokenizer, retrieval, source, vectors, manifest, device, config, tell)


def _retrieval(
    folder: Path,
    manifest: Mapping[str, Any],
    settings: Settings,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    device: torch.device | str,
    config: EngineConfig,
) -> Retrieval:
    """By the bundle's retrieval encoder, if it holds one, else by the tagger's, which is given."""
    if any(name.startswith(f"{RETRIEVAL}/") for name in manifest["files"]):
        encoder, tokenizer = load_encoder(str(folder / RETRIEVAL))
    encoder.requires_grad_(False).to(device)  # type: ignore[arg-type]
    return Retrieval(encoder, tokenizer, settings, half=config.precision == "bf16")


def _require_its_index(uri: str, retrieval: Retrieval, vectors: np.ndarray, settings: Settings) -> None:
    width = retrieval.encoder.config.hidden_size
    if vectors.shape[1] != width:
        raise ValueError(
            f"bundle {uri}: its retrieval encoder ({settings.retrieval_encoder}) has vectors of {width} numbers, but "
            f"index.safetensors holds vectors of {vectors.shape[1]}: another one made them; make the bundle again"
        )


@torch.no_grad()
def _load_theta(tagger: Tagger, theta: Mapping[str, torch.Tensor]) -> None:
    trained = tagger.trained()
    assert trained.keys() == theta.keys(), "checksums hold, so settings and tagger were written together"
    for name, p in trained.items():
        p.copy_(theta[name])


def _verified(folder: Path, uri: str) -> dict[str, Any]:
    manifest = read(str(folder), told=uri)
    sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    problems = size_problems(manifest, sizes)
    for name, facts in manifest["files"].items():
        if sizes.get(name) == facts["bytes"] and _sha256(folder / name) != facts["sha256"]:
            problems.append(f"{name} was altered: its SHA-256 is not the manifest's")
    if problems:
        raise ValueError(not_whole(uri, problems))
    return manifest
