"""Which languages an encoder was made for, by its name. Of no weight to import."""

# What each was pre-trained on, as its authors list it: codes of ISO 639, two letters where there are any.
EMBEDDED = "de en es fr nl zh"
XLM_R = (  # CC-100 (Conneau et al., 2020, appendix A; romanised variants not apart); multilingual E5 goes on from it
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it "
    "ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl no om or pa pl ps pt ro ru sa sd si sk sl so sq "
    "sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh"
)
MBERT = (  # the largest Wikipedias of 2018
    "af an ar ast az azb ba bar be bg bn bpy br bs ca ce ceb cs cv cy da de el en es et eu fa fi fr fy ga gl gu he hi "
    "hr ht hu hy id io is it ja jv ka kk kn ko ky la lb lmo lt lv mg min mk ml mn mr ms my nb nds ne new nl nn oc pa "
    "pl pms pnb pt ro ru scn sco sh sk sl sq sr su sv sw ta te tg th tl tr tt uk ur uz vi vo war yo zh"
)
MARKS = {  # in an encoder's name: its languages
    "embedded": EMBEDDED,
    "e5-small": XLM_R,
    "multilingual-e5": XLM_R,
    "xlm-roberta": XLM_R,
    "bert-base-multilingual": MBERT,
}
SAME = {"nb": "no", "nn": "no", "fil": "tl", "yue": "zh", "wuu": "zh", "cmn": "zh", "iw": "he", "in": "id", "ji": "yi"}


def languages(encoder: str) -> frozenset[str] | None:
    """Codes of the languages that the encoder of this name (of a hub, a folder) was made for; None: not known here."""
    name = encoder.rstrip("/").rpartition("/")[2].lower()
    listed = next((codes for mark, codes in MARKS.items() if mark in name), None)
    return None if listed is None else frozenset(SAME.get(code, code) for code in listed.split())


def knows(encoder: str, language: str) -> bool | None:
    """Whether the encoder was made for a language, by its code without region or script; None: not known here."""
    listed = languages(encoder)
    return None if listed is None else SAME.get(language, language) in listed
