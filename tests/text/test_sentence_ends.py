"""Where sentences end, script by script, in texts that were cut by hand; the full stop is a word of its own."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.text.segmentation import MAX_PIECE, segment
from metaner_core.text.sentence_ends import sentences

# Language, and a text whose sentences are divided by | (which is not in it).
TABLE = [
    ("en", "Angela Merkel visited Paris. |Barack Obama left Berlin! |Did he? |Yes."),
    ("en", "Dr. Smith paid $3.50 at 5 p.m. on Monday. |Mr. J. R. R. Tolkien wrote it, i.e. much of it."),
    ("en", 'She said: "Come back." |"Never!" he said. |Then (so it is told) he left.'),
    ("en", "He waited… |Then he slept... |And woke up. |What?! |No!"),
    (
        "en",
        "Angela Merkel visited \u2066Paris\u2069. |Barack Obama left Berlin\u200e. |Ana came.\u200f |Yes\u00ad.",
    ),
    ("es", "El presidente visitó Bogotá. |Habló con Pablo Casado José. |¿Quién? |¡Qué bien! |El Sr. Pérez no."),
    ("de", "Am 3. Oktober kam z. B. Dr. Müller. |Er zahlte 3,5 Mio. Euro. |„Gut.“ |Er ging."),
    ("fr", "« Venez ! » dit-elle. |M. Dupont partit pour Orléans. |L’été fut long."),
    ("vi", "Ông Nguyễn Văn Đức đến Hà Nội ở Việt. |Bà Lê Thị Huệ ở Huế."),
    ("el", "Πού πας; |Πάω στην Αθήνα. |Ο κ. Παπαδόπουλος έφυγε."),
    ("ru", "Это А. С. Пушкин. |Он жил в г. Москве в 1830 г. и уехал. |Да!"),
    ("hy", "Նա գնաց Երևան։ |Նա Գյումրիում է։ |Ո՞վ է նա։"),
    ("ka", "ის თბილისში წავიდა. |ის ბათუმშია. |სად არის ის?"),
    ("ar", "ذَهَبَ الرَّئِيسُ إِلَى الْقَاهِرَةِ. |ثُمَّ عَادَ إِلَى بَيْتِهِ. |هَلْ جَاءَ؟ |نَعَمْ."),
    ("fa", "او به تهران رفت. |او در شیراز می‌ماند؟ |بله."),
    ("ur", "وہ لاہور گیا۔ |وہ کراچی میں ہے۔"),
    ("he", 'הוא הלך לתל אביב. |ד"ר כהן בחיפה. |הַיֶּלֶד בָּא. |מתי?'),
    ("hi", "वह दिल्ली गया। |वह मुंबई में है। |मूल्य 3.5 करोड़ है।"),
    ("ml", "അവൻ കൊച്ചിയിൽ പോയി. |അവൾ ഡൽഹിയിൽ ആണ്. |ആര്?"),
    ("ta", "அவன் சென்னைக்குப் போனான். |அவள் மதுரையில் இருக்கிறாள்."),
    ("bo", "ཁོང་ལྷ་སར་ཕེབས། |མོ་གཞིས་ཀ་རྩེར་ཡོད།"),
    ("am", "እሱ ወደ አዲስ አበባ ሄደ። |እሷ ጎንደር ናት። |የት ነው?"),
    ("my", "သူ ရန်ကုန်သွားသည်။ |သူမ မန္တလေးမှာ ရှိသည်။"),
    ("km", "គាត់ទៅភ្នំពេញ។ |នាងនៅបាត់ដំបង។"),
    ("th", "เขาไปกรุงเทพฯ เมื่อวานนี้ เธออยู่เชียงใหม่"),  # a space may end a sentence or not: no rule tells
    ("zh", "他去了北京。|她在上海！|“你好。”|价格是3.5亿元？|是。"),
    ("ja", "彼は東京へ行った。|「はい。」|本当ですか？|はい。"),
    ("ko", "그는 서울에 갔다. |그녀는 부산에 있다."),
    (None, "Angela kam an. |Bo ging."),
]
FORMS = ("NFC", "NFD")


def spaces(text: str) -> str:
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cf")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("language", "text"), TABLE)
def test_sentences_end_where_people_end_them(language: str | None, text: str, form: str) -> None:
    text = unicodedata.normalize(form, text)
    plain = text.replace("|", "")
    found = segment(plain, language)
    assert [spaces(plain[s[0].start : s[-1].end]) for s in found] == [spaces(part) for part in text.split("|")]
    for sentence in found:
        assert sentence[-1].text == "..." or sentence[-1].text[-1] not in ".!?。।։።؟۔།။" or len(sentence[-1].text) == 1


CUT = st.lists(
    st.one_of(
        st.sampled_from([text for _, text in TABLE]),
        st.text(max_size=5),
        st.sampled_from(
            ["é", "e\u0301", "\u1100\u1161\u11a8", "각", "\u212b", "\u0958", "a\u0323\u0307", "ệ", ". ", "\n"]
        ),
    ),
    max_size=6,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(
    text=CUT, language=st.sampled_from([language for language, _ in TABLE]), lines=st.sampled_from(["flow", "block"])
)
def test_texts_that_unicode_calls_equal_are_cut_alike_each_at_its_own_offsets(
    text: str, language: str | None, lines: str
) -> None:
    cuts = []
    for form in FORMS:
        given_ = unicodedata.normalize(form, text)
        found = segment(given_, language, lines=lines)
        assert all(given_[word.start : word.end] == word.text for sentence in found for word in sentence)
        cuts.append([[unicodedata.normalize("NFC", word.text) for word in sentence] for sentence in found])
    assert cuts[0] == cuts[1]


def test_what_unpaired_quotes_cost_grows_with_the_text_and_no_faster() -> None:
    found = segment("“a. " * 30_000, "en")
    assert found[-1][-1].end == 4 * 30_000 - 1


def test_a_sentence_is_whole_where_a_long_text_is_looked_through_in_parts() -> None:
    one = "The committee will meet again on Thursday. "
    found = segment(one * (2 * MAX_PIECE // len(one)), "en")
    assert {len(sentence) for sentence in found} == {8}


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"])), language=st.sampled_from(["en", "el", "zh", "xx"])
)
def test_any_text_is_cut_to_slices_that_are_all_of_it(text: str, language: str) -> None:
    found = list(sentences(text, language))
    assert "".join(text[a:b] for a, b in found) == text
