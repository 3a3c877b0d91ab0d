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
# Full stops that abbreviate: before numbers, in titles, in ordinals; and such as do not.
TABLE += [
    ("en", "See Vol. 2 and No. 5. |It is on p. 4 and pp. 5-6, Ch. 7, Eq. 3. |See Vol. II of it."),
    ("en", "He told us. |5 left. |He has 3. |Five of them left."),
    (
        "de",
        "Siehe S. 12 und Abs. 3. |Nr. 5 und Bd. 2, Kap. 4. |Vgl. Art. 5. |Im 19. Jahrhundert. |Es waren 3. |Ana.",
    ),
    ("es", "Véase pág. 12 y art. 3. |Núm. 5 y vol. 2, cap. 4, n.º 3. |Ana llegó."),
    ("fr", "Voir p. 12, chap. 2, n. 4, no. 5, t. 3, tél. 05. |Mme. Martin et M. Dupont."),
    ("nl", "Zie blz. 12, afb. 3, tel. 030 en jrg. 12. |Ana kwam."),
    ("it", "Vedi pag. 12, sez. 4, n. 5. |Disse di sì. |Il sig. Bianchi."),
    ("pt", "Ver pág. 12, vol. 2, cap. 4, tel. 03, núm. 7. |Av. Paulista."),
    ("ro", "Vezi vol. 2, cap. 4. |El stă pe str. Florilor cu dl. Popescu."),
    ("pl", "Zob. s. 12 i rozdz. 4. |W 1939 r. wybuchła wojna. |W 5. rozdziale jest Ana."),
    ("cs", "Viz s. 12. |Dne 3. května přišel. |V 19. století ne."),
    ("hu", "Lásd a 12. oldalt. |A 20. század. |Ana elment."),
    ("tr", "Bkz. s. 12 ve cilt. 2. |20. yüzyıl geldi. |Atatürk Cad. Ankara."),
    ("fi", "Ks. s. 12. |Se oli 3. toukokuuta. |Ana lähti."),
    ("sv", "Se kap. 3 och vol. 2, tel. 08. |Ana kom."),
    ("id", "Lihat hal. 12 dan No. 5 di Jl. Sudirman. |Bpk. Joko pergi."),
    ("vi", "TS. Nguyễn Văn Anh ở TP. Hồ Chí Minh. |Xem tr. 12. |Bà ở Huế."),
    ("ru", "См. гл. 2, рис. 5 и ст. 3. |Это я. |5 лет прошло. |Акад. Петров ушёл."),
    ("uk", "Див. с. 12, гл. 2. |Акад. Бойко пішов."),
    ("el", "Βλ. σ. 12 και άρθ. 3. |Ο Δρ. Παππάς έφυγε."),
    ("ka", "იხ. გვ. 12. |დოქ. კახიძე წავიდა. |გ. კახიძე არის."),
    ("he", "ראה מס. 5. |פרופ. כהן בחיפה. |א. ב. יהושע כתב."),
    ("ar", "د. أحمد جاء. |انظر ص. 12. |نَعَم. |لا."),
    ("hi", "डॉ. सिंह आए। |श्री. मोदी और प्रो. शर्मा गए। |ए. पी. जे. अब्दुल कलाम। |रु. 500 दिए। |वह दिल्ली में है. |वह गया."),
    ("mr", "डॉ. आंबेडकर आले. |पु. ल. देशपांडे गेले."),
    ("ne", "डा. बाबुराम भट्टराई आए। |वि. सं. २०७२ मा।"),
    ("bn", "ড. ইউনূস এলেন। |মো. আলী গেলেন। |এ. কে. ফজলুল হক।"),
    ("gu", "ડૉ. પટેલ આવ્યા. |શ્રી. મોદી ગયા."),
    ("pa", "ਡਾ. ਸਿੰਘ ਆਏ। |ਉਹ ਗਿਆ।"),
    ("ta", "டாக்டர். குமார் வந்தார். |மு. கருணாநிதி போனார்."),
    ("te", "డా. రెడ్డి వచ్చారు. |కె. చంద్రశేఖర్ వెళ్ళారు."),
    ("kn", "ಡಾ. ರಾಜ್ ಬಂದರು. |ಎಚ್. ಡಿ. ದೇವೇಗೌಡ ಹೋದರು."),
    ("ml", "ഡോ. കുമാർ വന്നു. |എം. ടി. വാസുദേവൻ പോയി."),
    ("am", "ፕሮፌ. በየነ መጣ። |እሷ ጎንደር ናት።"),
    ("th", "พ.ต.ท. ทักษิณ กับ ดร. สมชาย ไปเมื่อ พ.ศ. 2540"),
    ("lo", "ທ່ານ ປ. ສົມສະຫວາດ ໄປ ວຽງຈັນ"),
    ("ko", "그는 갔다. |뭐. |나는 간다."),
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
        last = sentence[-1].text
        number = last[:-1].isdecimal()  # which spaCy leaves its full stop, for it may be an ordinal
        assert last == "..." or number or last[-1] not in ".!?。।։።؟۔།။" or len(last) == 1


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
