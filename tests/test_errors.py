"""Every error a user sees has a sentence and, where there is something to do, a hint."""

import pytest

from headstart.errors import EXTRA_OF, DataError, HeadstartError, MissingPackageError, did_you_mean, explains_missing_packages


def test_message_and_hint_are_one_text() -> None:
    """An error's text is its sentence followed by the hint in brackets."""
    error = DataError("class 'ants' has no files", hint="add images")
    assert str(error) == "class 'ants' has no files (add images)"
    assert (error.message, error.hint) == ("class 'ants' has no files", "add images")
    assert isinstance(error, HeadstartError)


def test_no_hint_no_brackets() -> None:
    """An error without a hint is its sentence alone."""
    assert str(HeadstartError("the disk is full")) == "the disk is full"


@pytest.mark.parametrize(
    ("word", "hint"),
    [("prob", "did you mean probe?"), ("fine-tune", "did you mean finetune?"), ("xyz", "one of: probe, finetune")],
)
def test_did_you_mean(word: str, hint: str) -> None:
    """A near miss is answered with the nearest choice, anything else with all of them."""
    assert did_you_mean(word, ["probe", "finetune"]) == hint


@pytest.mark.parametrize(("package", "extra"), [("torch", "train"), ("elpv_dataset", "demo"), ("cleanlab", "audit")])
def test_missing_package_is_explained(package: str, extra: str) -> None:
    """A missing package of an extra becomes one sentence with the line to install it, also for its submodules."""

    @explains_missing_packages("training")
    def train() -> None:
        raise ModuleNotFoundError(f"No module named '{package}.nn'", name=f"{package}.nn")

    with pytest.raises(MissingPackageError) as caught:
        train()
    assert caught.value.message == f"training needs {package}, which is not installed"
    assert caught.value.hint == f"pip install 'headstart[{extra}]'"
    assert EXTRA_OF[package] == extra


def test_unknown_missing_module_stays_itself() -> None:
    """A module that belongs to no extra is a fault of the program and is not explained away."""

    @explains_missing_packages("training")
    def broken() -> None:
        import a_module_that_is_nowhere  # noqa: F401

    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_nowhere"):
        broken()


def test_wrapped_function_returns_and_keeps_its_name() -> None:
    """The decorator passes arguments and results through and leaves name and docstring."""

    @explains_missing_packages("adding")
    def add(a: int, b: int = 0) -> int:
        """Adds."""
        return a + b

    assert add(1, b=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
