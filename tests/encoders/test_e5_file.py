"""The reader of E5 files against a file written number by number."""

import random

import numpy as np
import pytest

from metaner_core.encoders import e5_file
from tests.support import tiny_e5


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_e5.write(tmp_path_factory.mktemp("e5") / "tiny.bin")


def test_weights_are_those_written_to_the_bit(tiny):
    file = e5_file.read(tiny.path)
    assert file.tensors.keys() == tiny.weights.keys()
    for name, written in tiny.weights.items():
        read = file.tensor(name, written.shape)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, written, err_msg=name)


def test_shape_vocabulary_and_normalisation_are_those_written(tiny):
    file = e5_file.read(tiny.path)
    sizes = (file.shape.hidden, file.shape.layers, file.shape.heads, file.shape.intermediate, file.shape.vocabulary)
    assert sizes == (tiny_e5.HIDDEN, tiny_e5.LAYERS, tiny_e5.HEADS, tiny_e5.WIDE, tiny_e5.ROWS)
    assert (file.shape.positions, file.shape.types, file.shape.block) == (40, 2, 32)
    assert file.pieces == tiny_e5.PIECES
    assert file.scores.tolist() == tiny.scores
    assert file.special == {"bos": 0, "eos": 2, "pad": 1, "unk": 3}
    assert file.replaced == tiny_e5.REPLACED


@pytest.mark.parametrize(("name", "shape"), [("emb.pos", (39, 64)), ("emb.none", (1,))])
def test_tensor_of_another_size_or_none_is_named(tiny, name, shape):
    with pytest.raises(ValueError, match=name):
        e5_file.read(tiny.path).tensor(name, shape)


def test_another_magic_or_version_is_refused(tiny, tmp_path):
    content = tiny.path.read_bytes()
    for changed in (b"GGUF" + content[4:], content[:4] + b"\2" + content[5:]):
        (tmp_path / "other.bin").write_bytes(changed)
        with pytest.raises(ValueError, match=r"other\.bin is no whole E5 file: it does not begin with E5S1.*install"):
            e5_file.read(tmp_path / "other.bin")


def test_file_that_ends_early_is_refused_wherever_it_ends(tiny, tmp_path):
    content, cut = tiny.path.read_bytes(), tmp_path / "cut.bin"
    for length in (*range(0, tiny.at["tensors"], 7), *range(tiny.at["tensors"], len(content), 997), len(content) - 1):
        cut.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"cut\.bin is no whole E5 file"):
            e5_file.read(cut)


def test_flipped_bytes_end_in_no_other_error(tiny, tmp_path):
    content, changed = tiny.path.read_bytes(), tmp_path / "changed.bin"
    rng, told = random.Random(0), []
    for _ in range(300):
        flipped = bytearray(content)
        flipped[rng.randrange(tiny.at["tensors"] + 200)] ^= 1 << rng.randrange(8)
        changed.write_bytes(flipped)
        try:
            e5_file.read(changed)
        except ValueError as error:
            told.append(str(error))
    assert len(told) > 100
    assert all("changed.bin is no whole E5 file" in line for line in told)
