"""Nothing is written among the images that are read."""

from pathlib import Path

import pytest

from headstart.errors import SettingsError
from headstart.record.places import check_outside


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, in the current folder."""
    (tmp_path / "photos" / "ants").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return Path("photos")


@pytest.mark.parametrize("output", ["photos/run", "photos", "photos/ants/run", "photos/../photos/x/y.json", "link/run"])
def test_inside(output: str, photos: Path) -> None:
    """A place inside the folder is refused, by whatever way it is reached, also before it exists."""
    Path("link").symlink_to(photos)
    for given in (photos, str(photos), photos.resolve(), Path("link")):
        with pytest.raises(SettingsError, match=rf"^{output} would be inside {given}") as caught:
            check_outside(Path(output), None, "elsewhere", given)
        assert caught.value.hint


@pytest.mark.parametrize("output", [None, "photos-run", "run", "../photos/run", "leads-out/run"])
def test_outside(output: str | None, photos: Path, tmp_path: Path) -> None:
    """A place beside the folder is fine, also if its name begins alike, or if a link in the folder leads there."""
    (photos / "out").symlink_to(tmp_path)
    Path("leads-out").symlink_to(tmp_path)
    check_outside(Path(output) if output else None, photos, "hymenoptera", None)
    check_outside(photos / "out" / "run", photos)
