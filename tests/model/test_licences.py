"""What is said of licences."""

import pytest

from headstart.model.backbones import named_or_timm
from headstart.model.licences import PERMISSIVE, restriction
from headstart.model.specs import NAMED


@pytest.mark.parametrize("name", NAMED)
def test_the_ladder_is_free(name: str) -> None:
    """Every named backbone is under a permissive licence, and timm says the same one."""
    assert restriction(name, NAMED[name].licence) is None
    assert named_or_timm(f"timm/{NAMED[name].timm_name}").licence == NAMED[name].licence.lower()


@pytest.mark.parametrize(
    ("name", "licence", "words"),
    [
        ("convnextv2_nano.fcmae_ft_in22k_in1k", "cc-by-nc-4.0", "non-commercial use only"),
        ("vit_small_patch16_dinov3.lvd1689m", "dinov3-license", "rules out some uses"),
        ("vit_small_patch16_dinov3", "dinov3-license", "rules out some uses"),
        ("fastvit_t8.apple_in1k", "fastvit-license", "not one of the usual permissive licences"),
        ("fastvit_mci0.apple_mclip", "apple-amlr", "non-commercial research only"),
        ("res2net50_26w_4s.in1k", "unknown", "is not known"),
    ],
)
def test_a_restricted_licence_is_named(name: str, licence: str, words: str) -> None:
    """The licence comes from timm's own field, with a tag or without; the sentence names it and what it restricts."""
    spec = named_or_timm(f"timm/{name}")
    assert spec.licence == licence
    said = restriction(spec.name, spec.licence)
    assert said is not None and words in said and spec.name in said
    assert licence == "unknown" or licence in said


@pytest.mark.parametrize("licence", ["Apache-2.0", "MIT", " mit ", *sorted(PERMISSIVE)])
def test_free_whatever_the_case(licence: str) -> None:
    """A permissive licence is known in any letter case."""
    assert restriction("net", licence) is None


@pytest.mark.parametrize("licence", ["cc-by-nc-nd-4.0", "someones-noncommercial-license"])
def test_a_licence_that_says_it_in_its_name(licence: str) -> None:
    """A licence that is not in the list but is non-commercial by its name is called that."""
    assert "non-commercial use only" in str(restriction("net", licence))
