"""Under what licence encoders are published, by the names under which users know them."""

from metaner_core.encoders import e5_small

NON_COMMERCIAL = "non-commercial"  # of the embedded encoder: metaner_core/embedded/README.md says why

# An encoder of another name, or in a folder, may be anything.
LICENCES = {
    **dict.fromkeys(("bert-base-multilingual-cased", "google-bert/bert-base-multilingual-cased"), "apache-2.0"),
    **dict.fromkeys(("bert-base-multilingual-uncased", "google-bert/bert-base-multilingual-uncased"), "apache-2.0"),
    **dict.fromkeys(("xlm-roberta-base", "FacebookAI/xlm-roberta-base"), "mit"),
    **dict.fromkeys(("xlm-roberta-large", "FacebookAI/xlm-roberta-large"), "mit"),
    **dict.fromkeys(e5_small.NAMES, "mit"),
    "embedded": NON_COMMERCIAL,
}


def of(encoder: str | None) -> str | None:
    """As hubs write it, or `non-commercial`; None: it is not known here."""
    return LICENCES.get(encoder or "")
