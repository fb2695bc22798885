"""What the licences of pretrained weights allow, by the names that timm and Hugging Face use for them."""

PERMISSIVE = frozenset({"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc0-1.0", "unlicense", "isc"})
# What is restricted, in a few words that can be checked in the licence itself.
RESTRICTIONS = {
    "cc-by-nc-4.0": "it allows non-commercial use only",
    "cc-by-nc-sa-4.0": "it allows non-commercial use only, and models made from them must be passed on under the same terms",
    "fair-noncommercial-research-license": "it allows non-commercial research only",
    "apple-amlr": "it allows non-commercial research only",
    "dinov3-license": "it rules out some uses, such as military ones, and its terms go with models made from them",
    "gemma": "it rules out some uses, and its terms go with models made from them",
}


def restriction(name: str, licence: str) -> str | None:
    """A sentence on what restricts the use of a network's weights, and so of models made from them; None if they are free."""
    key = licence.strip().lower()
    if key in PERMISSIVE:
        return None
    if key in ("", "unknown", "other"):
        return (
            f"the licence of the weights of {name} is not known: find out what it allows before you use a model made from them"
        )
    known = RESTRICTIONS.get(key)
    if known is None and ("-nc" in key or "noncommercial" in key or "non-commercial" in key):
        known = "it allows non-commercial use only"
    known = known or "it is not one of the usual permissive licences"
    return (
        f"the weights of {name} are under {licence}: {known}. It applies to models made from them: read it before you use one"
    )
