import codecs

import pytest

from metaner_core.data import columns, corpora
from metaner_core.data.columns import Sentence, read_columns, read_sentences
from metaner_core.data.corpora import CORPORA, Statistics, load, main, statistics
from metaner_core.data.labels import TYPES


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="file.conll"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def sentence(text, labels):
    return Sentence(tuple(text.split()), tuple(labels.split()))


DOCSTART = Sentence(("-DOCSTART-",), ("O",), docstart=True)


# Shapes


def test_four_columns_iob1_with_docstart(write):
    path = write(
        "-DOCSTART- -X- O O\n\nAda NNP I-NP I-PER\nBob NNP I-NP B-PER\nsleeps VBZ I-VP O\n\nOslo NNP I-NP I-LOC\n"
    )
    assert read_sentences(path) == [DOCSTART, sentence("Ada Bob sleeps", "B-PER B-PER O"), sentence("Oslo", "B-LOC")]


def test_three_columns_bio_with_docstart_at_the_head_of_a_sentence(write):
    path = write("-DOCSTART- -DOCSTART- O\nAda N B-PER\nslaapt V O\n\nOslo N B-LOC\n\n")
    assert read_sentences(path) == [sentence("Ada slaapt", "B-PER O"), sentence("Oslo", "B-LOC")]


def test_five_columns_with_tabs(write):
    path = write("Ada\tAda\tNE\tx\tB-PER\nLee\tLee\tNE\ty\tI-PER\n")
    assert read_sentences(path) == [sentence("Ada Lee", "B-PER I-PER")]


def test_characters_in_bmes(write):
    path = write("北 B-LOC\n京 E-LOC\n的 O\n王 S-PER\n\n中 B-ORG\n国 M-ORG\n行 E-ORG\n")
    assert read_sentences(path) == [
        sentence("北 京 的 王", "B-LOC I-LOC O B-PER"),
        sentence("中 国 行", "B-ORG I-ORG I-ORG"),
    ]


def test_bioes(write):
    path = write("Ada B-PER\nLee E-PER\nin O\nOslo S-LOC\n")
    assert read_sentences(path) == [sentence("Ada Lee in Oslo", "B-PER I-PER O B-LOC")]


def test_inside_only_without_breaks_is_cut_at_sentence_ends(write):
    path = write("Ada I-PER\nLee I-PER\n. O\nà O\nOslo I-LOC\n. O\n")
    assert read_sentences(path, sentence_end=".") == [
        sentence("Ada Lee .", "B-PER I-PER O"),
        sentence("à Oslo .", "O B-LOC O"),
    ]


def test_text_after_the_last_sentence_end_stays_with_the_last_sentence(write):
    path = write("Ada I-PER\n. O\nOslo I-LOC\n. O\net O\nBob I-PER\n")
    assert [len(one.words) for one in read_sentences(path, sentence_end=".")] == [2, 4]


def test_without_any_sentence_end_a_block_is_one_sentence(write):
    assert len(read_sentences(write("Ada I-PER\nLee I-PER\n"), sentence_end=".")) == 1


def test_an_entity_over_a_sentence_end_becomes_two(write):
    path = write("A I-PER\n. I-PER\nLee I-PER\n. O\n")
    assert [one.labels for one in read_sentences(path, sentence_end=".")] == [("B-PER", "I-PER"), ("B-PER", "O")]


def test_full_stops_cut_nothing_unless_asked(write):
    assert len(read_sentences(write("Ada I-PER\n. O\nLee I-PER\n"))) == 1


# Lines, spaces and bytes


def test_byte_order_mark_is_no_part_of_the_first_word(write):
    assert read_sentences(write(codecs.BOM_UTF8 + b"Ada B-PER\n")) == [sentence("Ada", "B-PER")]


def test_windows_line_ends(write):
    assert len(read_sentences(write("Ada B-PER\r\nruns O\r\n\r\nBob B-PER\r\n"))) == 2


def test_lines_of_white_space_and_repeated_blank_lines_end_a_sentence_once(write):
    assert len(read_sentences(write("\nAda B-PER\n \t\n\nBob B-PER\n\n\n"))) == 2


def test_runs_of_spaces_separate_columns(write):
    assert read_sentences(write("Ada   B-PER \nruns   O\n")) == [sentence("Ada runs", "B-PER O")]


@pytest.mark.parametrize("character", ["\u00a0", "\u3000", "\u2028", "\x85", "\x0c", "\x1c"])
def test_only_tabs_spaces_and_line_feeds_separate(write, character):
    word = f"12{character}000"
    assert read_sentences(write(f"{word} B-ORG\n"))[0].words == (word,)


def test_reads_through_storage(monkeypatch):
    monkeypatch.setattr(columns, "read_bytes", {"s3://bucket/a.conll": b"Ada B-PER\n"}.__getitem__)
    assert read_sentences("s3://bucket/a.conll") == [sentence("Ada", "B-PER")]


def test_sentences_come_before_a_later_error(write):
    reader = read_columns(write("Ada B-PER\n\nBob\n"))
    assert next(reader) == sentence("Ada", "B-PER")
    with pytest.raises(ValueError, match=":3: 1 column "):
        next(reader)


# Errors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Ada\n", ":1: 1 column in 'Ada', expected 2 to 5"),
        ("a b c d e O\n", ":1: 6 columns in 'a b c d e O', expected 2 to 5"),
        ("Ada B-PER\nLee NNP I-PER\n", ":2: 3 columns in 'Lee NNP I-PER', expected 2 as on line 1; fill"),
        ("-DOCSTART- -X- O O\n\nAda B-PER\nruns\n", ":4: 1 column in 'runs', expected 2 as on line 3"),
        ("Ada\tx\tB-PER\nruns\t\tO\n", ":2: 2 columns in 'runs O', expected 3 as on line 1"),
        ("Ada B-PER\nruns VBZ\n", ":2: tag 'VBZ': expected O or PREFIX-TYPE"),
        ("Ada U-PER\n", ":1: tag 'U-PER': expected O or PREFIX-TYPE"),
        ("Ada B-PERSON\n", ":1: tag 'B-PERSON' has type 'PERSON', expected one of PER, LOC, ORG, MISC; rename it"),
        ("Ada B-PER\n-DOCSTART- O\nBob B-PER\n", ":2: -DOCSTART- within a sentence.*put a blank line before it"),
        ("", ": no sentence, expected at least one"),
        (" \n\n", ": no sentence, expected at least one"),
        ("Ada O\n\nruns O\n", ": none of its 2 sentences has an entity.*allow_no_entities"),
        (b"Ada B-PER\nM\xfcller I-PER\n", ":2: byte 0xfc at column 2 is not UTF-8; convert the file.*iconv"),
        ("Ada B-PER\n".encode("utf-16"), ":1: byte 0xff at column 1 is not UTF-8"),
    ],
)
def test_malformed_file_is_an_error_that_names_the_place(write, content, message):
    path = write(content)
    with pytest.raises(ValueError, match=message) as error:
        read_sentences(path)
    assert str(error.value).startswith(f"{path}:")


def test_a_long_line_is_not_repeated_whole(write):
    with pytest.raises(ValueError) as error:
        read_sentences(write("x" * 100_000))
    assert len(str(error.value)) < 500


def test_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.conll"):
        read_sentences(tmp_path / "nowhere.conll")


def test_types_are_those_asked_for(write):
    path = write("Ada B-PER\nEid B-MISC\n")
    assert len(read_sentences(path)) == 1
    with pytest.raises(ValueError, match=":2: tag 'B-MISC' has type 'MISC', expected one of PER, LOC, ORG;"):
        read_sentences(path, types=("PER", "LOC", "ORG"))


def test_a_file_without_entities_may_be_allowed(write):
    assert len(read_sentences(write("Ada O\n"), allow_no_entities=True)) == 1


def test_a_sentence_has_a_label_for_every_word():
    with pytest.raises(ValueError, match="2 words, 1 labels"):
        Sentence(("a", "b"), ("O",))


# Corpora by name


def test_corpora_are_those_of_the_paper_and_the_embedded_ones():
    named = {name: tuple(spec.files) for name, spec in CORPORA.items()}
    assert named == {
        "conll2003-en": ("train", "dev", "test"),
        "conll2003-de": ("train", "dev", "test"),
        "conll2002-es": ("train", "dev", "test"),
        "conll2002-nl": ("train", "dev", "test"),
        "europeana-fr": ("train", "test"),
        "msra-zh": ("test",),
        "embedded-en": ("train", "dev"),
        "embedded-es": ("test",),
        "embedded-nl": ("test",),
        "embedded-de": ("test",),
        "embedded-fr": ("test",),
        "embedded-zh": ("test",),
        "embedded-es-halves": ("train", "test"),
    }


def test_french_and_chinese_have_no_misc():
    assert {spec.language for spec in CORPORA.values() if "MISC" not in spec.types} == {"fr", "zh"}


def test_load_finds_the_file_of_a_split(write, tmp_path):
    write("Ada NP B-PER\n", "conll2002-es/esp.testb")
    assert load("conll2002-es", "test", data=tmp_path) == [sentence("Ada", "B-PER")]


def test_load_from_s3(monkeypatch):
    content = {"s3://bucket/corpora/conll2002-es/esp.testa": b"Ada NP B-PER\n"}
    monkeypatch.setattr(columns, "read_bytes", content.__getitem__)
    assert load("conll2002-es", "dev", data="s3://bucket/corpora/") == [sentence("Ada", "B-PER")]


def test_load_embedded_needs_no_data(write, monkeypatch, tmp_path):
    write("王\tB-PER\n", "zh.test.bio")
    monkeypatch.setattr(corpora, "_EMBEDDED", tmp_path)
    assert load("embedded-zh", "test") == [sentence("王", "B-PER")]


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("conll", "train", "no corpus is named 'conll'.*conll2003-en.*embedded-zh"),
        ("msra-zh", "train", "msra-zh has no split 'train'; ask for one of: test"),
        ("msra-zh", "test", "msra-zh does not come with the package.*msra-zh/test.char.bmes as --data"),
    ],
)
def test_load_says_what_there_is(name, split, message):
    with pytest.raises(ValueError, match=message):
        load(name, split)


@pytest.fixture
def french(write, tmp_path):
    write("".join(f"nom{i} I-PER\n. O\n" for i in range(2_400)), "europeana-fr/enp_FR.bnf.bio")
    return tmp_path


def test_the_held_out_sentences_and_the_others_make_up_the_file(french):
    train, test = (load("europeana-fr", split, data=french) for split in ("train", "test"))
    assert (len(train), len(test)) == (25, 2_375)
    assert {one.words[0] for one in train + test} == {f"nom{i}" for i in range(2_400)}


def test_the_held_out_sentences_are_always_the_same(french):
    assert load("europeana-fr", "test", data=french) == load("europeana-fr", "test", data=french)


def test_the_held_out_sentences_are_drawn_from_the_whole_file(french):
    positions = [int(one.words[0].removeprefix("nom")) for one in load("europeana-fr", "train", data=french)]
    assert min(positions) < 800 < 1_600 < max(positions)


def test_too_few_sentences_to_hold_out_is_an_error(write, tmp_path):
    write("nom I-PER\n. O\n", "europeana-fr/enp_FR.bnf.bio")
    with pytest.raises(ValueError, match="1 sentences, expected more than the 2,375 held out"):
        load("europeana-fr", "train", data=tmp_path)


# Statistics and the command


def test_statistics_count_docstart_as_a_sentence_but_not_as_a_token():
    sentences = [DOCSTART, sentence("Ada Lee in Oslo", "B-PER I-PER O B-LOC"), sentence("Bob", "B-PER")]
    assert statistics(sentences) == Statistics(sentences=3, docstarts=1, tokens=5, entities={"PER": 2, "LOC": 1})


def test_command_prints_a_row_for_every_split(write, tmp_path, capsys):
    for split, size in (("train", 1_234), ("testa", 2), ("testb", 1)):
        write("Ada NP B-PER\n\n" * size, f"conll2002-es/esp.{split}")
    assert main(["--data", str(tmp_path), "conll2002-es"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(" conll2002-es")]
    assert rows == [
        ["conll2002-es", "train", "1,234", "0", "1,234", "1,234", "0", "0", "0"],
        ["conll2002-es", "dev", "2", "0", "2", "2", "0", "0", "0"],
        ["conll2002-es", "test", "1", "0", "1", "1", "0", "0", "0"],
    ]


def test_command_reads_a_file_of_its_own(write, capsys):
    path = write("Ada I-NAME\n. O\nLee I-NAME\n. O\n")
    assert main(["--file", str(path), "--types", "NAME", "--sentence-end", "."]) == 0
    assert capsys.readouterr().out.split()[-6:] == ["file.conll", "-", "2", "0", "4", "2"]


def test_command_without_names_reads_the_embedded_corpora(write, monkeypatch, tmp_path, capsys):
    for spec in CORPORA.values():
        for file in spec.files.values():
            write("Ada\tB-PER\n\n" * 60, file)
    monkeypatch.setattr(corpora, "_EMBEDDED", tmp_path)
    assert main([]) == 0
    output = capsys.readouterr().out
    assert output.count("embedded-") == 9
    assert "conll" not in output


def test_command_says_what_is_wrong_and_fails(write, capsys):
    assert main(["--file", str(write("Ada\n"))]) == 2
    assert "file.conll:1: 1 column" in capsys.readouterr().err


def test_command_fails_for_a_missing_file(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "msra-zh"]) == 2
    assert "msra-zh/test.char.bmes" in capsys.readouterr().err


def test_command_takes_a_file_or_names(capsys):
    with pytest.raises(SystemExit):
        main(["--file", "a", "--data", "b"])
    assert "one or the other" in capsys.readouterr().err


def test_default_types_are_the_four_of_conll():
    assert CORPORA["conll2003-en"].types == TYPES == ("PER", "LOC", "ORG", "MISC")
