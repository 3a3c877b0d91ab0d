import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.data.corpora import Sentence
from metaner_core.report.page import ScoreRow, render
from tests.support import rows
from tests.support.reader import Node, Reader, nodes

SOURCE = [
    Sentence(("Ada", "Lovelace", "met", "Babbage", "."), ("B-PER", "I-PER", "O", "B-PER", "O")),
    Sentence(("Rain", "<fell>", "."), ("O", "O", "O")),
    Sentence(("Cairo", "Oslo"), ("B-LOC", "B-LOC")),
]


def document(*sentences, id="d", neighbours=(), windows=1, **more):
    row = rows.tagged(id, *sentences, **more)
    found = [{"id": k, "similarity": similarity} for k, similarity in neighbours]
    for sentence in row["sentences"]:
        sentence |= {"tokens": [], "windows": windows, "neighbours": found}
    return row


def untagged(id, outcome, reason, language="es", stage=None):
    return rows.other(id, outcome, stage, reason, language=language)


def page(*documents, **options):
    options = {"title": "Run", "summary": [], "scores": [], "source": SOURCE} | options
    return Reader(render(documents=iter(documents), **options)).root


def texts(root):
    return [line.text(without="type") for line in root.all("p", "text")]


def marks(node):
    return [(mark.text(without="type"), next(mark.all("span", "type")).text()) for mark in node.all("mark")]


def cells(root, section):
    table = next(node for node in root.all("section") if node.attributes.get("id") == section)
    return [[cell.text() for cell in row.children if isinstance(cell, Node)] for row in table.all("tr")]


DOCUMENTS = [
    document(["La ", ("Ana Ruiz", "PER"), " vive\nen  ", ("Lima", "LOC")], ["¡", ("Lima", "LOC", 0.5), "!"], id="es"),
    document([("常雨眠", "PER"), "在", ("乌镇", "LOC"), ("上海译文出版社", "ORG"), "。"], id="zh", language="zh"),
    document([("דויד בן־גוריון", "PER"), " הגיע ל", ("תל אביב", "LOC"), "."], id="he", language="he"),
    document(['<i>&amp; "', ("A&B <x>", "ORG"), "' 🎉👩‍👩‍👧", ("Gol 🏆", "MISC")], id="odd", language=None),
]


def test_texts_keep_every_character():
    shown = sorted(texts(page(*DOCUMENTS)))
    assert shown == sorted(row["text"][s["start"] : s["end"]] for row in DOCUMENTS for s in row["sentences"])


def test_every_entity_is_highlighted_exactly_once():
    for row in DOCUMENTS:
        found = marks(next(page(row).all("article")))
        assert [(text, label.split()[0]) for text, label in found] == [(e["text"], e["type"]) for e in row["entities"]]


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(), st.tuples(st.text(min_size=1), st.just("LOC"))), min_size=1))
def test_any_text_is_shown_as_it_is(parts):
    row = document(parts)
    article = next(page(row).all("article"))
    assert texts(article) == [row["text"]]
    assert [text for text, _ in marks(article)] == [entity["text"] for entity in row["entities"]]


def test_markup_in_the_input_stays_text():
    evil = "</p><script>alert('x')</script><img src=x onerror=alert(1)> \" onload='x'"
    row = document([evil, (evil, evil, 0.5)], id=evil, language=evil, neighbours=[(0, 0.5)])
    root = page(
        row,
        untagged("e", "empty", evil),
        title=evil,
        summary=[(evil, evil)],
        scores=[ScoreRow(evil, evil, 1, 1.0, 2.0)],
        source=[Sentence((evil, evil), ("O", "B-PER"))],
    )
    assert not {node.tag for node in nodes(root)} & {"script", "img"}
    assert texts(root) == [evil * 2]
    assert not [name for node in nodes(root) for name in node.attributes if name.startswith("on")]
    assert marks(next(root.all("article"))) == [(evil, evil + " 0.50"), (evil, "PER")]


def test_links_lead_to_the_languages():
    root = page(*DOCUMENTS)
    links = {link.attributes["href"][1:]: link.text() for link in root.all("a")}
    sections = {node.attributes["id"]: next(node.all("h2")).text() for node in root.all("section")}
    assert [*links.values()] == ["Chinese", "Hebrew", "Spanish", "Language not given"]
    assert links.items() <= sections.items()


def test_neighbours_stand_below_their_sentence():
    root = page(document(["Uno."], ["Dos."], neighbours=[(0, 0.914), (2, 0.5)]))
    assert len([*root.all("ul", "neighbours")]) == 2
    first, second = next(root.all("ul", "neighbours")).all("li")
    assert first.text(without="type") == "0.91Ada Lovelace met Babbage ."
    assert marks(first) == [("Ada Lovelace", "PER"), ("Babbage", "PER")]
    assert second.text(without="type") == "0.50Cairo Oslo"
    assert marks(second) == [("Cairo", "LOC"), ("Oslo", "LOC")]


def test_text_between_sentences_is_shown_but_for_white_space():
    row = document(["Uno."], ["Dos."])
    row |= {"text": "Uno.\n\nDos. <fin>"}
    row["sentences"][1] |= {"start": 6, "end": 10}
    root = page(row)
    assert texts(root) == ["Uno.", "Dos.", " <fin>"]
    assert ["apart" in line.attributes["class"] for line in root.all("div", "line")] == [False, True, False]


def test_low_score_is_marked_and_written_out():
    low, high = next(page(document([("Lima", "LOC", 0.42), ("Ana", "PER", 0.97)])).all("article")).all("mark")
    assert (low.attributes, low.text()) == ({"class": "LOC unsure", "title": "LOC, score 0.42"}, "LimaLOC 0.42")
    assert (high.attributes, high.text()) == ({"class": "PER", "title": "PER, score 0.97"}, "AnaPER")


def test_sentence_in_several_windows_says_so():
    note = next(page(document(["Largo."], windows=3)).all("p", "windows"))
    assert note.text() == "Too long to be read at once: cut into 3 windows."
    assert not [*page(document(["Corto."])).all("p", "windows")]


def test_language_and_direction_are_set():
    root = page(DOCUMENTS[2], DOCUMENTS[3], document(["x"], neighbours=[(0, 0.5)]))
    found = [{key: p.attributes.get(key) for key in ("lang", "dir")} for p in root.all("p", "text")]
    assert found == [{"lang": language, "dir": "auto"} for language in ("he", "es", None)]
    assert next(root.all("ul", "neighbours")).attributes["lang"] == "en"
    # A label with no dir of its own would decide the direction of a sentence that starts with an entity.
    assert all(label.attributes["dir"] == "ltr" for p in root.all("p", "text") for label in p.all("span", "type"))


def test_untagged_documents_are_listed_with_the_reason():
    root = page(DOCUMENTS[0], untagged("a", "empty", "no text"), untagged("b", "filtered", "too long", stage="length"))
    listed = [item.text() for item in next(root.all("ul", "untagged")).all("li")]
    assert listed == ["a: empty, no text", "b: filtered, length: too long"]
    assert len([*root.all("article")]) == 1


def test_all_documents_are_counted_and_the_first_shown():
    listed = [*DOCUMENTS, untagged("a", "empty", "no text"), untagged("b", "rejected", "too long", language="fr")]
    root = page(*listed, limit=1)
    assert cells(root, "counts") == [
        ["Language", "Documents", "Tagged", "Empty", "Filtered", "Rejected", "Sentences", "PER", "LOC", "ORG", "MISC"],
        ["Chinese", "1", "1", "0", "0", "0", "1", "1", "1", "1", "0"],
        ["French", "1", "0", "0", "0", "1", "0", "0", "0", "0", "0"],
        ["Hebrew", "1", "1", "0", "0", "0", "1", "1", "1", "0", "0"],
        ["Spanish", "2", "1", "1", "0", "0", "2", "1", "2", "0", "0"],
        ["Language not given", "1", "1", "0", "0", "0", "1", "0", "0", "1", "1"],
        ["All", "6", "4", "1", "0", "1", "5", "3", "4", "2", "1"],
    ]
    assert len([*root.all("article")]) == 1
    assert next(root.all("p", "limited")).text() == "Below: the first 1 of 6 documents; 5 are not shown."
    assert not [*page(*listed, limit=6).all("p", "limited")]


def test_languages_are_counted_as_what_they_mean():
    given = ["de", "deu", "German", "__label__de", "zh-Hant", "zh", "no such tongue"]
    root = page(*[document(["x"], id=language, language=language) for language in given])
    assert [row[:2] for row in cells(root, "counts")[1:]] == [
        ["Chinese", "2"],
        ["German", "4"],
        ["Language no such tongue", "1"],
        ["All", "7"],
    ]
    marked = [p.attributes.get("lang") for p in root.all("p", "text")]
    assert marked == ["zh-Hant", "zh", "de", "de", "de", "de", None]  # the script decides how it is drawn


def test_scores_show_the_signed_difference():
    scores = [ScoreRow("a-es", "es", 1200, 61.234, 64.5), ScoreRow("b-xx", "xx", 9, 70.1, 69.866)]
    assert cells(page(scores=[*scores, ScoreRow("c-zh", "zh", 5, 40.001, 39.999)]), "scores")[1:] == [
        ["Spanish a-es", "1,200", "61.23", "64.50", "+3.27"],
        ["Language xx b-xx", "9", "70.10", "69.87", "−0.23"],
        ["Chinese c-zh", "5", "40.00", "40.00", "0.00"],
        ["Mean of 3", "", "57.11", "58.12", "+1.01"],
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entities": 2 * DOCUMENTS[1]["entities"]}, "entity '常雨眠' at 0 to 3 overlaps"),
        ({"text": "常雨绵在乌镇上海译文出版社。"}, "'常雨眠' at 0 to 3, but the text there is '常雨绵'"),
        ({"text": "常雨眠在乌镇"}, "sentence 0 is at 0 to 14, .* the text at 6"),
        ({"sentences": 2 * DOCUMENTS[1]["sentences"]}, "sentence 1 is at 0 to 14, the one before ends at 14"),
        ({"sentences": []}, "entity '常雨眠' at 0 to 3 is in sentence 0, but there are 0"),
        ({"outcome": "done"}, "outcome 'done', expected one of tagged, empty, filtered, rejected"),
        ({"sentences": document("x" * 14, neighbours=[(3, 0.5)])["sentences"]}, "neighbour 3 is not among the 3"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(ValueError, match=f"document zh: .*{message}"):
        page(DOCUMENTS[1] | change)


def test_negative_limit_is_refused():
    with pytest.raises(ValueError, match="limit is -1"):
        page(limit=-1)
