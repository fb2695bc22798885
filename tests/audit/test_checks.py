"""Each check finds what was planted, and says nothing of a clean set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.audit import appearance
from headstart.audit.checks import CHEAP_CHECKS, CHECK_NAMES, CHECKS, check_named, run_checks
from headstart.audit.evidence import Evidence, robust_z
from headstart.audit.findings import Checked
from headstart.audit.twins import Twins
from headstart.data.dataset import Dataset, LabelledImage
from headstart.data.facts import ImageFacts
from headstart.data.sources import Skipped
from headstart.evaluation.metrics import are_uneven

N = 60
NO_TWINS = Twins(*(np.empty(0, kind) for kind in (np.int64, np.int64, np.int64, np.float32, np.bool_)))
CLEAN = ImageFacts(
    format="JPEG",
    mode="RGB",
    width=400,
    height=300,
    red=120,
    green=120,
    blue=120,
    brightness=120,
    contrast=50,
    sharpness=500,
)


@pytest.fixture
def clean() -> Evidence:
    """Sixty photographs of two classes, each like the others of its class, labelled as a model would."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 2
    images = tuple(
        LabelledImage(f"{i}.jpg", Path(f"{i}.jpg"), "ab"[i % 2], "train" if i < 40 else "val", None, f"{i:064d}", 400, 300)
        for i in range(N)
    )
    centres = np.abs(rng.normal(size=(2, 40)))
    vectors = (centres[labels] + 0.1 * rng.normal(size=(N, 40))).astype(np.float32)
    colours = rng.normal(120, 20, (N, 3))
    facts = tuple(
        replace(CLEAN, red=r, green=g, blue=b, sharpness=float(s))
        for (r, g, b), s in zip(colours.tolist(), rng.normal(500, 60, N), strict=True)
    )
    sure = rng.uniform(0.8, 0.99, N)
    out_of_fold = np.stack([np.where(labels == 0, sure, 1 - sure), np.where(labels == 1, sure, 1 - sure)], axis=1)
    return Evidence(Dataset("set", images, ("a", "b"), ()), facts, vectors, NO_TWINS, out_of_fold)


def checked(evidence: Evidence) -> dict[str, Checked]:
    return {result.check: result for result in run_checks(evidence)}


def with_fact(evidence: Evidence, i: int, **changes: object) -> Evidence:
    facts = list(evidence.facts)
    facts[i] = replace(facts[i], **changes)  # type: ignore[arg-type]
    return replace(evidence, facts=tuple(facts))


def paired(evidence: Evidence, one: int, other: int, *, same_pixels: bool = False) -> Evidence:
    twins = Twins(np.array([one]), np.array([other]), np.array([1]), np.array([0.97], np.float32), np.array([same_pixels]))
    return replace(evidence, twins=twins)


def test_all_checks_have_their_names(clean: Evidence) -> None:
    """The checks are those that the command line names, in this order."""
    names = "leak conflict unreadable foreign label_error duplicate near_duplicate blank dark blurred odd_size type_mismatch"
    assert (*names.split(), "imbalance", "shortcut") == CHECK_NAMES
    assert [result.check for result in run_checks(clean)] == list(CHECK_NAMES)


def test_a_check_says_all_of_itself(clean: Evidence) -> None:
    """Its name is its own, not its function's; a check has a title and a meaning, a cheap one also words for a count."""
    renamed = replace(CHECKS[0], name="other")
    assert [result.check for result in run_checks(clean, [renamed])] == ["other"]
    (finding,) = run_checks(paired(clean, 2, 50), [renamed])[0].findings
    assert finding.check == "other"
    assert all(check.title and check.meaning.endswith(".") for check in CHECKS)
    assert all(check.images_that for check in CHEAP_CHECKS)
    assert check_named("dark").title == "Dark"


def test_a_clean_set_has_nothing_but_the_labels_to_look_at_first(clean: Evidence) -> None:
    """Without defects there is no finding, but for the first tenth of the labels as info."""
    for name, result in checked(clean).items():
        assert len(result.findings) == (6 if name == "label_error" else 0), result.findings
        assert {finding.severity for finding in result.findings} <= {"info"}
        assert len(result.scores) == N


@pytest.mark.parametrize(
    ("check", "severity", "changes"),
    [
        ("blank", "severe", {"contrast": 0.5}),
        ("blank", "warning", {"contrast": 5.0}),
        ("dark", "info", {"brightness": 20.0}),
        ("dark", "warning", {"brightness": 3.0}),
        ("blurred", "info", {"sharpness": 3.0}),
        ("odd_size", "warning", {"width": 20, "height": 20}),
        ("odd_size", "info", {"width": 13_000, "height": 9_000}),
        ("odd_size", "warning", {"width": 3000, "height": 40}),
        ("type_mismatch", "info", {"format": "PNG"}),
    ],
)
def test_facts_beyond_their_limits(check: str, severity: str, changes: dict[str, object], clean: Evidence) -> None:
    """What an image's facts show is found in it alone, with the score that its row of scores has."""
    result = checked(with_fact(clean, 7, **changes))[check]
    (finding,) = result.findings
    assert (finding.path, finding.severity, finding.check) == ("7.jpg", severity, check)
    assert result.scores.argmax() == 7
    assert finding.score == pytest.approx(result.scores[7])


def test_unreadable(clean: Evidence) -> None:
    """A skipped file is a finding with its reason."""
    skipped = replace(clean.dataset, skipped=(Skipped("x.gif", "a GIF"),))
    (finding,) = checked(replace(clean, dataset=skipped))["unreadable"].findings
    assert (finding.path, finding.severity) == ("x.gif", "warning")
    assert "a GIF" in finding.sentence


def test_foreign(clean: Evidence) -> None:
    """An image unlike all others is severe and first, also where it is there twice."""
    vectors = clean.vectors.copy()
    vectors[4] = vectors[6] = np.abs(np.random.default_rng(9).normal(size=40))
    result = checked(paired(replace(clean, vectors=vectors), 4, 6))["foreign"]
    assert {finding.path for finding in result.findings} == {"4.jpg", "6.jpg"}
    assert {finding.severity for finding in result.findings} == {"severe"}


@pytest.mark.parametrize(
    ("one", "other", "same_pixels", "check", "severity", "path", "other_path"),
    [
        (2, 4, True, "duplicate", "warning", "4.jpg", "2.jpg"),
        (2, 4, False, "near_duplicate", "info", "4.jpg", "2.jpg"),
        (2, 50, True, "leak", "severe", "50.jpg", "2.jpg"),
        (2, 5, False, "conflict", "severe", "5.jpg", "2.jpg"),
    ],
)
def test_copies(
    one: int, other: int, same_pixels: bool, check: str, severity: str, path: str, other_path: str, clean: Evidence
) -> None:
    """A pair is one finding of the check that it belongs to, told of the image that is held out or comes later."""
    results = checked(paired(clean, one, other, same_pixels=same_pixels))
    found = [finding for name in ("duplicate", "near_duplicate", "leak", "conflict") for finding in results[name].findings]
    (finding,) = found
    assert (finding.check, finding.severity, finding.path, finding.other_path) == (check, severity, path, other_path)
    assert results[check].scores[[one, other]].min() > 0.9


def test_a_leak_across_classes_is_both(clean: Evidence) -> None:
    """A val image whose twin in train has another label is a leak and a conflict."""
    results = checked(paired(clean, 2, 51))
    assert [len(results[name].findings) for name in ("leak", "conflict", "duplicate", "near_duplicate")] == [1, 1, 0, 0]


def test_label_errors_come_first(clean: Evidence) -> None:
    """Labels that the out-of-fold probabilities contradict are the first of the list and more than info."""
    out_of_fold = clean.out_of_fold
    assert out_of_fold is not None
    swapped = out_of_fold.copy()
    swapped[[8, 31]] = [[0.02, 0.98], [0.99, 0.01]]
    findings = checked(replace(clean, out_of_fold=swapped))["label_error"].findings
    assert {finding.path for finding in findings[:2]} == {"8.jpg", "31.jpg"}
    assert {finding.severity for finding in findings[:2]} == {"severe"}
    assert len(findings) == N // 10
    assert "'a'; a model that never saw it says 'b' (98%)" in findings[1].sentence + findings[0].sentence


def test_without_folds_labels_are_not_judged(clean: Evidence) -> None:
    """Where a class is too small for folds there is no score, and no finding."""
    result = checked(replace(clean, out_of_fold=None))["label_error"]
    assert not result.findings
    assert np.isnan(result.scores).all()


def test_imbalance(clean: Evidence) -> None:
    """A class with a tenth of the largest's images is a warning that names it."""
    images = tuple(replace(image, label="b" if i == 0 else "a") for i, image in enumerate(clean.dataset.images))
    dataset = replace(clean.dataset, images=images)
    (finding,) = checked(replace(clean, dataset=dataset, out_of_fold=None))["imbalance"].findings
    assert finding.severity == "warning"
    assert "'b' has 1 image, the largest 59" in finding.sentence


def test_small_classes_of_one_size_are_balanced(clean: Evidence) -> None:
    """Two classes of 8 images each are few images, but no imbalance."""
    images = tuple(replace(image, label="ab"[i % 2]) for i, image in enumerate(clean.dataset.images[:16]))
    few = replace(clean, dataset=replace(clean.dataset, images=images), facts=clean.facts[:16], out_of_fold=None)
    assert not checked(few)["imbalance"].findings


@pytest.mark.parametrize("n_small", [14, 15, 16])
def test_audit_and_report_agree_on_what_is_uneven(n_small: int, clean: Evidence) -> None:
    """The audit suggests --balance for exactly those classes whose size the report calls uneven."""
    images = tuple(replace(image, label="b" if i < n_small else "a") for i, image in enumerate(clean.dataset.images))
    evidence = replace(clean, dataset=replace(clean.dataset, images=images), out_of_fold=None)
    (finding,) = checked(evidence)["imbalance"].findings  # below 20 images: worth a word in any case
    assert ("--balance" in finding.sentence) == (finding.severity == "warning") == are_uneven((n_small, N - n_small))
    assert are_uneven((n_small, N - n_small)) == (n_small < 15)


@pytest.mark.parametrize(
    ("name", "severity", "changes"),
    [
        ("size", "severe", {"width": 640, "height": 480}),
        ("format", "severe", {"format": "PNG"}),
        ("mean colour", "warning", {"red": 250.0}),
    ],
)
def test_shortcut(name: str, severity: str, changes: dict[str, object], clean: Evidence) -> None:
    """Size, format or colour that tells the class is found; colour, which may belong to a class, is taken less gravely."""
    evidence = clean
    for i in range(0, N, 2):
        evidence = with_fact(evidence, i, **changes)
    (finding,) = checked(evidence)["shortcut"].findings
    assert finding.severity == severity
    assert finding.sentence.startswith(f"{name} alone tells the class in ")


def test_robust_z_does_not_see_outliers() -> None:
    """Of a normal sample the score is the number of standard deviations, also when a twentieth of it is far away."""
    values = np.random.default_rng(0).normal(10, 2, 2000)
    values[:100] = 1e6
    assert robust_z(np.append(values, 16))[-1] == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize("references", [1000, 40])
def test_distances_to_the_class(references: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image's distance is to the nearest references that are neither itself nor its twins, whatever the blocks."""
    monkeypatch.setattr(appearance, "BLOCK", 7)
    monkeypatch.setattr(appearance, "REFERENCES", references)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    drawn = np.sort(np.random.default_rng(0).choice(60, 40, replace=False)) if references < 60 else np.arange(60)
    twins = [(0, 1), (1, 0), (7, 30), (30, 7), (0, 59), (59, 0)]
    cosine = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    for i in range(60):
        others = [j for j in drawn if j != i and (i, j) not in twins]
        wanted = 1 - np.sort(cosine[i, others])[-appearance.NEIGHBOURS :].mean()
        assert appearance._distances(vectors, np.array(twins))[i] == pytest.approx(wanted, abs=1e-5)
