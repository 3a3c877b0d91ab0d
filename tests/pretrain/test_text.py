"""From raw text to a packed folder: nothing is lost, nothing is mistaken for text, every error names its file."""

import gzip
import lzma
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaner_core import storage
from metaner_core.pretrain import pack as packing
from metaner_core.pretrain.packed import Packed, open_packed
from metaner_core.pretrain.settings import PackSettings
from metaner_core.pretrain.text import Texts, lines, pairs
from metaner_core.pretrain.vocabulary import fast, sample, special_ids
from tests.support.pretrain_small import PACK, ciphered, packed_small, sentences, write_texts

TEXT = "Genève, 3 März.\n\n  日本 \r\nlast line"
LINES = ["Genève, 3 März.", "日本", "last line"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed_small(tmp_path_factory.mktemp("packed"))


def write(path: Path, content: bytes) -> str:
    if path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(content)
    else:
        compress = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
        path.write_bytes(compress(content))
    return str(path)


@pytest.mark.parametrize("ending", ["txt", "txt.gz", "txt.xz", "txt.zst"])
def test_lines_are_the_same_however_they_are_compressed(tmp_path: Path, ending: str) -> None:
    assert list(lines([write(tmp_path / f"a.{ending}", TEXT.encode("utf-8-sig"))])) == LINES


@pytest.mark.parametrize("ending", ["txt", "txt.xz"])
def test_text_is_read_from_s3(s3: str, tmp_path: Path, ending: str) -> None:
    uri = f"{s3}/text/a.{ending}"
    storage.write_bytes(uri, Path(write(tmp_path / f"a.{ending}", TEXT.encode())).read_bytes())
    assert list(lines(Texts(mono={"de": [f"{s3}/text"]}).resolved().mono["de"])) == LINES


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    files = [write(tmp_path / name, TEXT.encode()) for name in ("a.txt", "b.txt.gz")]
    assert Texts(mono={"de": [str(tmp_path)]}).resolved().mono["de"] == tuple(files)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"fine\ncaf\xe9\n", r"a\.txt, line 2: not UTF-8"),
        ("a.txt", b" \n\n", r"a\.txt holds no text"),
        ("a.txt.gz", gzip.compress(TEXT.encode() * 99, mtime=0)[:-20], r"a\.txt\.gz is damaged"),
        ("a.txt.xz", lzma.compress(TEXT.encode() * 99)[:-20], r"a\.txt\.xz is damaged"),
        ("a.txt.xz", b"plain text", r"a\.txt\.xz is damaged or not what its name says"),
    ],
)
def test_what_is_no_text_is_an_error_that_names_the_file(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=told):
        list(lines([str(tmp_path / name)]))


def test_a_missing_file_of_a_language_is_named_before_any_work(tmp_path: Path) -> None:
    texts = write_texts(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"fr\.txt: there is no such file"):
        packing.pack(Texts(mono={**texts.mono, "fr": [str(tmp_path / "fr.txt")]}), str(tmp_path / "out"), PACK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mono", [{}, {"en": ()}])
def test_a_language_without_a_file_is_refused(mono: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="no text: name each language"):
        Texts(mono=mono)


def test_rows_that_are_no_pair_are_told_apart(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", b"one\tein\nonly one\na\tb\tc\n\tleft out\ntwo\tzwei\n")
    assert list(pairs([file])) == [("one", "ein"), None, None, None, ("two", "zwei")]


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 10.0), (0.5, 10**0.5), (0.0, 1.0)])
def test_the_vocabulary_s_sample_follows_the_exponent(tmp_path: Path, exponent: float, expected: float) -> None:
    files = {"en": [write(tmp_path / "en", b"abcde\n" * 10_000)], "de": [write(tmp_path / "de", b"vwxyz\n" * 1_000)]}
    drawn = Counter(sample(files, PackSettings(vocabulary_exponent=exponent, vocabulary_characters=55_000)))
    assert drawn["abcde"] / drawn["vwxyz"] == pytest.approx(expected, rel=0.1)
    assert drawn.total() * 5 == pytest.approx(55_000, rel=0.05)


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_pieces_put_together_are_the_sentence(packed: Packed, language: str) -> None:
    for sentence in sentences(language)[:100]:
        pieces = packed.tokenizer.encode(sentence, add_special_tokens=False).tokens
        assert "".join(piece.removeprefix("##") for piece in pieces) == sentence.replace(" ", "")


def test_every_chinese_character_is_a_word_by_itself(packed: Packed) -> None:
    pieces = [p for s in sentences("zh") for p in packed.tokenizer.encode(s, add_special_tokens=False).tokens]
    chinese = [piece for piece in pieces if any("\u4e00" <= letter <= "\u9fff" for letter in piece)]
    assert len(chinese) > 1000
    assert {len(piece) for piece in chinese} == {1}


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=40), min_size=1, max_size=9))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packing_loses_no_token(packed: Packed, tmp_path: Path, texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "CHUNK", 3)
        counts = packing._pack_mono(tmp_path, "en", texts, packed.tokenizer, PACK)
    one_by_one = fast(packed.tokenizer)
    expected = [i for text in texts for i in [*one_by_one.encode(text, add_special_tokens=False), 3]]
    assert np.load(tmp_path / "mono.en.npy").tolist() == expected
    assert counts == {"lines": len(texts), "tokens": len(expected), "unknown": expected.count(1)}


def test_every_line_of_every_language_is_packed(packed: Packed) -> None:
    separator = special_ids(packed.tokenizer)["sep"]
    for language, rows in (("en", sentences("en")[:300]), ("zh", sentences("zh"))):
        expected = [packed.tokenizer.encode(row, add_special_tokens=False).ids for row in rows]
        assert packed.mono[language].tolist() == [i for ids in expected for i in [*ids, separator]]
        assert packed.manifest["mono"][language]["lines"] == len(rows)


def test_every_pair_is_either_trained_on_or_held_out(packed: Packed) -> None:
    encode = lambda text: tuple(packed.tokenizer.encode(text, add_special_tokens=False).ids)  # noqa: E731
    expected = {(encode(s), encode(ciphered(s))) for s in sentences("en")[:300]}
    train, held = (
        [tuple(map(tuple, (side.tolist() for side in part["xx"][i]))) for i in range(len(part["xx"]))]
        for part in (packed.pairs, packed.held)
    )
    assert {*train, *held} == expected
    assert not {english for english, _ in train} & {english for english, _ in held}
    counts = packed.manifest["pairs"]["xx"]
    assert (counts["pairs"], counts["held_out"]) == (len(train), len(held))
    assert counts["pairs"] + counts["held_out"] + counts["repeated"] == 300
    assert 10 < len(held) < 60


def test_rejected_rows_are_counted(tmp_path: Path) -> None:
    texts = write_texts(tmp_path)
    (tmp_path / "odd.tsv").write_text("no tab here\n", encoding="utf-8")
    more = {"xx": [*texts.translations["xx"], str(tmp_path / "odd.tsv")]}
    manifest = packing.pack(Texts(mono=texts.mono, translations=more), str(tmp_path / "out"), PACK)
    assert manifest["pairs"]["xx"]["rejected"] == 1


def test_translations_without_a_single_pair_are_an_error(tmp_path: Path) -> None:
    odd = write(tmp_path / "odd.tsv", b"no tab here\n")
    with pytest.raises(ValueError, match="translations of de: no row in two columns"):
        packing.pack(Texts(mono=write_texts(tmp_path).mono, translations={"de": [odd]}), str(tmp_path / "out"), PACK)


def test_a_vocabulary_too_large_for_16_bits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="vocabulary is 65536; it must be a number from 100 to 65535"):
        PackSettings(vocabulary=65_536)
    monkeypatch.setattr(packing, "LARGEST_VOCABULARY", 1_000)
    with pytest.raises(ValueError, match="the vocabulary has 2400 pieces"):
        packing.pack(write_texts(tmp_path), str(tmp_path / "out"), PACK)


def test_the_fingerprint_is_of_the_tokens_not_of_their_place(tmp_path: Path) -> None:
    packed_small(tmp_path / "one")
    shutil.copytree(tmp_path / "one" / "packed", tmp_path / "two")
    (tmp_path / "two" / "manifest.json").unlink()
    expected = open_packed(tmp_path / "one" / "packed").fingerprint
    assert packing._fingerprint(tmp_path / "two") == expected
    ids = np.load(tmp_path / "two" / "mono.de.npy")
    ids[7] += 1
    np.save(tmp_path / "two" / "mono.de.npy", ids)
    assert packing._fingerprint(tmp_path / "two") != expected


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    packed_small(tmp_path)
    np.save(tmp_path / "packed" / "mono.de.npy", np.zeros(5, dtype=np.uint16))
    with pytest.raises(ValueError, match=r"mono\.de\.npy does not hold the manifest's tokens"):
        open_packed(tmp_path / "packed")
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.json"):
        open_packed(tmp_path)


def test_packed_text_is_never_overwritten_but_an_interrupted_one_is_finished(tmp_path: Path) -> None:
    texts, uri = write_texts(tmp_path), str(tmp_path / "out")
    storage.write_bytes(f"{uri}/mono.de.npy", b"unfinished")
    with pytest.raises(FileExistsError, match="never overwritten"):
        packing.pack(texts, uri, PACK)
    packing.pack(texts, uri, PACK, over_unfinished=True)
    assert len(open_packed(Path(uri)).mono["de"]) > 100
    with pytest.raises(FileExistsError, match="never overwritten"):
        packing.pack(texts, uri, PACK, over_unfinished=True)
