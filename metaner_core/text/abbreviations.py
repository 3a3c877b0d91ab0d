"""Full stops that end no sentence and that the library sentencex takes for one: what stands before them, and after.

Its lists are good in some languages (English, German, Russian) and short in others; some know `vol.` and not `Vol.`.
"""

import re


def _words(told: str) -> frozenset[str]:
    return frozenset(told.split())


# Before a number: volumes, pages, articles, telephones. Words that end sentences of other languages are below.
NUMBERED = _words(
    """
    vol vols nr nrs núm nº fig figs eq eqs ch chap sec sect art arts pp pag pág págs abs abb tab bd kap tel tél
    tlf telf afb rys obr rozdz odst ust pkt poz hfst blz str hal éd ref refs lit anm rn rdnr ziff nro mom stk kl
    ca hausnr jrg
    стр ст рис гл тел кв табл разд пп вул илл изд вып
    σελ τόμ κεφ αρ άρθ παρ εικ πιν τηλ
    გვ ტ თ
    տ թ էջ հտ
    מס עמ טל
    पृ रु सं खं अनु क्र
    """
)
NUMBERED_IN = {
    "ca": _words("cap no"),
    "cs": _words("sv roč čl"),
    "da": _words("no bl"),
    "de": _words("sp jg"),
    "es": _words("cap ed no"),
    "fr": _words("cap ed no"),
    "hr": _words("br"),
    "hu": _words("old köt"),
    "id": _words("no"),
    "it": _words("cap ed sez"),
    "ms": _words("no"),
    "nl": _words("no dl"),
    "pt": _words("cap ed"),
    "ro": _words("cap ed no"),
    "sk": _words("sv roč čl"),
    "sv": _words("no bl sid"),
    "sw": _words("uk"),
    "tr": _words("mad no cilt"),
    "vi": _words("tr"),
}
# Before a name: titles, ranks, streets. In South Asia, where many write a full stop for the danda, the names of Latin
# letters too (ए. पी. जे. अब्दुल कलाम), but for those that are words and may end a sentence.
TITLES = _words(
    """
    mme mlle mgr
    акад проф доц инж им св ул просп тов
    δρ καθ
    დოქ პროფ
    դոկ պրոֆ
    פרופ גב
    डॉ डा श्री श्रीमती सुश्री प्रो प्रा पं कु मो मु स्व कै इं एड ए बी सी डी ई एफ एच आई जे के एल एम एन ओ क्यू आर एस
    टी यू वी डब्ल्यू एक्स वाई जेड पु वि
    ড ডা ডঃ প্রফে মো মোঃ মোসা অধ্যা ইঞ্জি এ বি সি ডি ই এফ জি এইচ আই জে কে এল এম এন পি কিউ আর এস টি ইউ ভি
    ડૉ ડો શ્રી શ્રીમતી પ્રો પ્રા સ્વ એ બી સી ડી ઈ એફ એચ આઈ જે કે એલ એમ એન પી આર એસ ટી વી
    ਡਾ ਸ੍ਰੀ ਸ਼੍ਰੀ ਪ੍ਰੋ
    டாக்டர் திரு திருமதி பேரா
    డా డాక్టర్ శ్రీ శ్రీమతి ప్రొ ఎన్ ఎం ఎస్ ఆర్ ఎల్ హెచ్
    ಡಾ ಶ್ರೀ ಶ್ರೀಮತಿ ಪ್ರೊ ಎನ್ ಎಂ ಎಸ್ ಆರ್ ಎಲ್ ಎಚ್
    ഡോ ശ്രീ ശ്രീമതി പ്രൊഫ
    ଡା ଡଃ ଶ୍ରୀ
    ආචාර්ය මහාචාර්ය
    ዶ ፕሮፌ
    """
)
TITLES_IN = {
    "id": _words("jl tn ny bpk ir hj drs dra"),
    "ms": _words("jl tn ny hj"),
    "pl": _words("ul al św ks"),
    "pt": _words("av"),
    "ro": _words("str dl dna sf"),
    "sr": _words("др"),
    "sw": _words("dkt bw mh"),
    "tr": _words("cad sok mah prof doç av"),
    "vi": _words("tp ts ths gs pgs bs ks"),
}
# Before a reference, whatever that begins with: see, compare.
SEE = _words("zob bkz ks vgl cf viz βλ იხ см див")
# Where a number with a full stop is an ordinal: Am 3. Mai, 20. század.
ORDINALS = _words("bs cs da de et eu fi fo hr hsb hu is lb lt lv nb nn no pl sh sk sl sq sr sv tr")
_ORDINAL = {"de": re.compile(r"Jahr(hundert|tausend)|Jh\b|Lebensjahr|Geburtstag|Spieltag|Minute\b|Auflage\b|Mal\b")}
# Thai and Lao: a full stop abbreviates, as in พ.ต.ท., and sentences end without a mark.
_WITHOUT_STOPS = re.compile(r"[\u0e00-\u0eff]\.$")

_WORD = re.compile(r"(?:^|[\s(\[{«„“\"'’,;:/–—-])((?:[\w.]|[\u0900-\u0dff\u200d])+)\.$")
_NUMBER = re.compile(r"[(\[]?\d")
_ROMAN = re.compile(r"[IVXLC]{1,7}\b(?![.'’])")
# One letter with its marks. Not of scripts whose one character may be a word of its own; nor what is a word: I, Я.
_INITIAL = re.compile(r"(?![\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ffIiЯя])[^\W\d_]")
_SYLLABLE = re.compile(r"[\u0b80-\u0cff][\u0bbe-\u0bcd\u0c3e-\u0c4d\u0cbe-\u0ccd]?")  # of Tamil, Telugu, Kannada
LOOKED_AT, AHEAD = 24, 12  # characters before and after the full stop that tell


def abbreviates(before: str, after: str, language: str) -> bool:
    """Whether the full stop at the end of `before` stands in the middle of a sentence that `after` goes on with.

    before, after: without the white space between them, of the latter AHEAD characters at least. language: a code.
    """
    if not before.endswith(".") or not after:
        return False
    if _WITHOUT_STOPS.search(before):
        return True
    found = _WORD.search(before[-LOOKED_AT:])
    if found is None:
        return False
    word = found[1]
    if _NUMBER.match(after):
        return _before_number(word, language)
    if word.isdecimal():
        return (language in ORDINALS and after[0].islower()) or (
            language in _ORDINAL and _ORDINAL[language].match(after) is not None
        )
    if word.lower() in SEE:
        return True
    if _caseless(after[0]):
        return word in TITLES or bool(_INITIAL.fullmatch(word) or _SYLLABLE.fullmatch(word))
    if not after[0].isupper():
        return after[0].islower() and word.islower() and _INITIAL.fullmatch(word) is not None
    title = word.lower() in TITLES or word.lower() in TITLES_IN.get(language, ())
    return title or (len(word) > 1 and _ROMAN.match(after) is not None and _before_number(word, language))


def _before_number(word: str, language: str) -> bool:
    known = word.lower() in NUMBERED or word.lower() in NUMBERED_IN.get(language, ())
    return known or _INITIAL.fullmatch(word) is not None


def _caseless(character: str) -> bool:
    """Of a script without capitals; Georgian's are for headings only."""
    return character.isalpha() and (character.upper() == character.lower() or "\u10d0" <= character <= "\u10ff")
