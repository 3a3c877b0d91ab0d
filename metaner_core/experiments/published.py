"""Figures of the paper (Wu et al., AAAI 2020), Tables 3, 4 and 5: phrase-level F1 of multilingual BERT, as published.

Of Table 5 (labels of the target) only these stand in a copy whose text can be told apart: the averages of its two last
rows, and their Chinese. Its other rows (CL, ML, MLMT) and columns are left out and not guessed.
"""

COLUMNS = ("es", "nl", "de", "fr", "zh")
BASE, FULL = "base model", "full method"
OTHERS = {  # Table 3: earlier systems, which have no figures for French and Chinese
    "Täckström et al. 2012": (59.30, 58.40, 40.40),
    "Tsai et al. 2016": (60.55, 61.56, 48.12),
    "Ni et al. 2017": (65.10, 65.40, 58.50),
    "Mayhew et al. 2017": (65.95, 66.50, 59.11),
    "Xie et al. 2018": (72.37, 71.25, 57.76),
    "Wu & Dredze 2019": (74.96, 77.57, 69.56),
}
SYSTEMS = {  # Tables 3 and 4
    BASE: (74.59, 79.57, 70.79, 50.89, 76.42),
    FULL: (76.75, 80.44, 73.16, 55.30, 77.89),
    "without max loss": (76.05, 79.50, 71.84, 52.64, 76.77),
    "without masking": (75.57, 80.38, 72.76, 54.29, 77.79),
    "without both": (75.33, 80.13, 71.49, 52.79, 76.50),
}
TESTS = {  # the corpora that these figures are of
    "conll2002-es": "es",
    "conll2002-nl": "nl",
    "conll2003-de": "de",
    "europeana-fr": "fr",
    "msra-zh": "zh",
}


CHINESE = {1: {BASE: 79.72, FULL: 80.34}, 2: {BASE: 81.86, FULL: 82.58}, 5: {BASE: 85.11, FULL: 85.67}}  # by percent
AVERAGES = {1: {BASE: 74.24, FULL: 75.70}, 2: {BASE: 75.88, FULL: 77.32}, 5: {BASE: 77.81, FULL: 79.32}}


def figure(system: str, test: str, share: float = 0) -> float | None:
    """F1 in percent; None where the paper has none: another corpus, another language, another share of labels."""
    language = TESTS.get(test)
    if share:
        return CHINESE.get(int(share), {}).get(system) if language == "zh" and share == int(share) else None
    row = {**OTHERS, **SYSTEMS}.get(system, ())
    column = COLUMNS.index(language) if language else len(COLUMNS)
    return row[column] if column < len(row) else None


def average(system: str, share: float) -> float | None:
    """Of the five languages, with labels of them; None where the paper has none."""
    return AVERAGES.get(int(share), {}).get(system) if share == int(share) else None
