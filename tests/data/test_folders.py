"""What folders mean as people have them: read where they have one meaning, refused where they have two."""

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.data.opening import open_sources
from headstart.data.sources import Sources
from headstart.errors import DataError


def make(folder: Path, *names: str) -> Path:
    """Files whose content is their name, also for many at once: "train/{ants,bees}/1.jpg"."""
    for name in names:
        before, brace, rest = name.partition("{")
        inner, _, after = rest.partition("}")
        for one in inner.split(",") if brace else [""]:
            file = folder / f"{before}{one}{after}"
            if "{" in after:
                make(folder, f"{before}{one}{after}")
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(file.name, encoding="utf-8")
    return folder


def zipped(folder: Path) -> Path:
    place = folder.with_name(f"{folder.name} packed.zip")
    with zipfile.ZipFile(place, "w") as file:
        for member in sorted(folder.rglob("*")):
            file.write(member, member.relative_to(folder).as_posix())
    return place


def tarred(folder: Path) -> Path:
    place = folder.with_name(f"{folder.name} packed.tar")
    with tarfile.open(place, "w") as file:
        file.add(folder, ".")
    return place


FORMS = [lambda folder: folder, zipped, tarred]


def read(data: Path) -> Sources:
    with open_sources(data) as sources:
        return sources


def found(sources: Sources) -> set[tuple[str | None, str | None]]:
    return {(candidate.split, candidate.label) for candidate in sources.candidates}


def both(*splits: str | None) -> set[tuple[str | None, str | None]]:
    return {(split, label) for split in splits for label in ("ants", "bees")}


CLASSES = "{ants,bees}/{1,2}.jpg"


@pytest.mark.parametrize("form", FORMS, ids=["folder", "zip", "tar"])
@pytest.mark.parametrize(
    ("names", "splits"),
    [
        pytest.param(("seg_train/seg_train/", "seg_test/seg_test/"), ("train", "test"), id="Intel"),
        pytest.param(("training_set/training_set/", "test_set/test_set/"), ("train", "test"), id="Kaggle's cats and dogs"),
        pytest.param(("training_set/", "test_set/"), ("train", "test"), id="set"),
        pytest.param(("Train_data/", "Val_data/"), ("train", "val"), id="data"),
        pytest.param(("train/", "eval/"), ("train", "val"), id="eval is val"),
        pytest.param(("training/", "validation/", "evaluation/"), ("train", "val", "test"), id="evaluation beside val is test"),
        pytest.param(("train_images/", "test_images/"), ("train", "test"), id="images"),
        pytest.param(("dataset_train/", "dataset_test/"), ("train", "test"), id="dataset"),
        pytest.param(("01_train/", "02_test/"), ("train", "test"), id="numbered"),
        pytest.param(("Training/", "Testing/"), ("train", "test"), id="brain tumours"),
        pytest.param(("TRAIN/", "DEV/", "holdout/"), ("train", "val", "test"), id="dev and holdout"),
        pytest.param(("trainset/", "ValSet/", "hold-out/"), ("train", "val", "test"), id="without a gap"),
        pytest.param(("images/train/", "images/val/"), ("train", "val"), id="images above"),
        pytest.param(("train/images/", "test/images/"), ("train", "test"), id="images below"),
        pytest.param(("bird_train/", "test/"), ("train", "test"), id="one of them with a name"),
        pytest.param(("imagenette/train2017/", "imagenette/val2017/"), ("train", "val"), id="years in a wrapper"),
        pytest.param(("train/train/", "train/test/"), ("train", "test"), id="the wrapper is called train"),
    ],
)
def test_spellings_of_splits(
    form: Callable[[Path], Path], names: tuple[str, ...], splits: tuple[str, ...], tmp_path: Path
) -> None:
    """Whatever the spelling, folders that hold class folders and are called as splits are splits, in archives too."""
    data = make(tmp_path / "set", *(name + CLASSES for name in names))
    sources = read(form(data))
    assert found(sources) == both(*splits)
    assert len(sources.candidates) == 4 * len(splits)
    assert sources.skipped == sources.notes == ()


@pytest.mark.parametrize("form", FORMS, ids=["folder", "zip", "tar"])
@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("train/{dog,cat}.1.jpg", "test/{1,2}.jpg"), "set.*train and .*test hold images, but no class folders"),
        (("Training_Set/dog.1.jpg", "Testing/1.jpg"), "Training_Set and .*Testing hold images"),
        (("seg_train/seg_train/1.jpg", "seg_test/seg_test/1.jpg"), "seg_train and .*seg_test hold images"),
        (("train/train/1.jpg", "test1/test1/1.jpg"), "train and .*test1 hold images"),
        (("train/images/1.jpg", "val/images/1.jpg", "train/labels/1.txt", "val/labels/1.txt"), "train and .*val hold images"),
        (("images/train/1.jpg", "images/val/1.jpg", "labels/train/1.txt"), "images/train and .*images/val hold images"),
        (("images/1.jpg", "images/2.jpg", "labels/1.txt"), "images holds images, but no class folders"),
        (("train/1.jpg",), "train holds images"),
        (("test/1.jpg", "val/1.jpg"), "test and .*val hold images"),
        (("train/1.jpg", "test/1.jpg", "sample/1.jpg"), "train and .*test hold images"),
        (("train/1.jpg", "unlabeled/1.jpg"), "train and .*unlabeled hold images"),
        (("train/1.jpg", "eval/1.jpg"), "train and .*eval hold images"),
        (("trainA/1.jpg", "trainB/1.jpg", "testA/1.jpg", "testB/1.jpg"), "trainA, .*hold images"),
        (("train/1.jpg", "train_masks/1.jpg"), "train and .*train_masks hold images"),
        (("birds train/1.jpg", "birds test/1.jpg"), "birds train and .*birds test hold images"),
        (("train/1.jpg", "val/{ants,bees}/1.jpg"), "train holds images, but no class folders"),
        (("train/1.jpg", "test/1.jpg", "submission.csv"), "train and .*test hold images"),
    ],
)
def test_splits_without_class_folders(form: Callable[[Path], Path], names: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """Images directly in train/ and test/ have no labels: an error says so, and no model ever tells train from test."""
    with pytest.raises(DataError, match=told) as caught:
        read(form(make(tmp_path / "set", *names)))
    assert "one folder per class" in caught.value.hint


def test_a_table_beside_images_without_class_folders(tmp_path: Path) -> None:
    """Where a table beside train/ and test/ names the images, the error names the table."""
    data = make(tmp_path / "set", "train/{a,b}.jpg", "test/c.jpg")
    (data / "train.csv").write_text("id,label\na,cat\nb,dog\n")
    with pytest.raises(DataError, match="hold images, but no class folders") as caught:
        read(data)
    assert caught.value.hint == f"give the table: {data / 'train.csv'}"


@pytest.mark.parametrize(
    "classes",
    [
        ("bus", "car", "train"),
        ("car", "train"),
        ("control", "test"),
        ("dev", "prod"),
        ("control", "test", "val"),
        ("bullet train", "station", "tram"),
        ("Test tubes", "pipettes"),
        ("contest", "latest"),
    ],
)
def test_classes_called_like_splits(classes: tuple[str, ...], tmp_path: Path) -> None:
    """One folder of images called as a split is a class among others: trains and buses are vehicles."""
    data = make(tmp_path / "set", *(f"{label}/1.jpg" for label in classes))
    assert found(read(data)) == {(None, label) for label in classes}
    halves = make(tmp_path / "halves", *(f"{split}/{label}/1.jpg" for split in ("train", "test") for label in classes))
    assert found(read(halves)) == {(split, label) for split in ("train", "test") for label in classes}


@pytest.mark.parametrize("name", ["test", "val", "Test_images", "seg_pred"])
@pytest.mark.parametrize("inner", ["", "unknown/", "{name}/"])
def test_a_split_without_labels_is_told(name: str, inner: str, tmp_path: Path) -> None:
    """A test of unlabelled images beside a train of class folders does not stop the run: a note says that it is not used."""
    inner = inner.format(name=name)
    if name == "seg_pred":
        data = make(tmp_path / "set", f"seg_train/{CLASSES}", f"seg_test/{CLASSES}", f"seg_pred/{inner}{{1,2,3}}.jpg")
        splits: tuple[str, ...] = ("train", "test")
    else:
        data = make(tmp_path / "set", f"train/{CLASSES}", f"{name}/{inner}{{1,2,3}}.jpg")
        splits = ("train",)
    sources = read(data)
    assert found(sources) == both(*splits)
    (told,) = sources.skipped
    assert told.path == str(data / name)
    if name != "seg_pred" or inner != "unknown/":
        assert sources.notes == (f"{name}/ has no class folders: its 3 files have no labels and cannot be used",)


def test_classes_first_and_splits_second(tmp_path: Path) -> None:
    """Class folders that are all divided into train and test give labels and splits."""
    data = make(tmp_path / "set", "{ants,bees}/{train,test}/{1,2}.jpg")
    assert found(read(data)) == both("train", "test")
    assert found(read(zipped(data))) == both("train", "test")
    make(data, "ants/loose.jpg")
    sources = read(data)
    assert found(sources) == both("train", "test")
    assert [entry.path for entry in sources.skipped] == [str(data / "ants" / "loose.jpg")]


def test_only_some_classes_are_divided(tmp_path: Path) -> None:
    """If only some class folders are divided, it is not clear what the others are."""
    data = make(tmp_path / "set", "ants/{train,test}/1.jpg", "bees/1.jpg")
    with pytest.raises(DataError, match=r"ants is divided into test and train, but .*bees is not"):
        read(data)


def test_a_subfolder_called_train_is_no_split(tmp_path: Path) -> None:
    """A folder inside one class that is called train, without a val or test, is a folder like any other."""
    data = make(tmp_path / "set", "vehicles/train/1.jpg", "houses/1.jpg", "trees/oak/1.jpg")
    assert found(read(data)) == {(None, "vehicles"), (None, "houses"), (None, "trees")}


@pytest.mark.parametrize("form", FORMS, ids=["folder", "zip", "tar"])
@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            "{color,grayscale,segmented}/{healthy,rust,scab}/{1,2}.jpg",
            "color, grayscale and segmented in .* contain the same folders",
        ),
        ("PlantVillage/{color,grayscale}/{healthy,rust,scab}/{1,2}.jpg", "color and grayscale in .* contain the same folders"),
        ("{images,masks}/{ants,bees}/1.png", "images and masks in .* contain the same folders"),
        ("{40X,100X}/{benign,malignant}/1.png", "40X and 100X in .* contain the same folders"),
        ("train/{color,gray}/{ants,bees}/1.png", "color and gray in .*train contain the same folders"),
        ("{Lernen,Pruefen}/{ants,bees}/1.png", "Lernen and Pruefen in .* contain the same folders"),
    ],
)
def test_renderings(form: Callable[[Path], Path], names: str, told: str, tmp_path: Path) -> None:
    """Folders with the same class folders are renderings or parts of one data set, not its classes: refused by name."""
    with pytest.raises(DataError, match=told) as caught:
        read(form(make(tmp_path / "set", names)))
    assert caught.value.hint.startswith("give one of them, such as ")


def test_renderings_that_are_not_quite_the_same(tmp_path: Path) -> None:
    """A class that one of the renderings lacks does not make them classes."""
    data = make(tmp_path / "set", "color/{a,b,c,d}/1.jpg", "gray/{a,b,c}/1.jpg")
    with pytest.raises(DataError, match="contain the same folders"):
        read(data)


def test_subfolders_of_classes(tmp_path: Path) -> None:
    """Class folders with different folders in them are classes, however deep their images lie."""
    data = make(tmp_path / "set", "cats/{tabby,black}/1.jpg", "dogs/{poodle,collie}/1.jpg")
    assert found(read(data)) == {(None, "cats"), (None, "dogs")}


def test_a_copy_inside(tmp_path: Path) -> None:
    """A folder with the same class folders as those it is among is a copy, not a class."""
    data = make(tmp_path / "set", "{ants,bees,PlantVillage}/1.jpg", "PlantVillage/{ants,bees}/1.jpg")
    with pytest.raises(DataError, match="PlantVillage contains the class folders that are next to it again"):
        read(data)


def test_data_sets_side_by_side(tmp_path: Path) -> None:
    """Two data sets, each with its own splits, are refused: give one of them."""
    data = make(tmp_path / "set", "{old,new}/{train,test}/{ants,bees}/1.jpg")
    with pytest.raises(DataError, match="new is a data set itself, with test and train, but other folders") as caught:
        read(data)
    assert caught.value.hint.startswith("give one data set")


@pytest.mark.parametrize(
    "beside", ["README.md", "labels.csv", "cover.jpg", "__MACOSX/ants/._1.jpg", "annotations/1.xml", "._set"]
)
@pytest.mark.parametrize("inner", ["", "train/"])
def test_a_wrapper_with_something_beside_it(beside: str, inner: str, tmp_path: Path) -> None:
    """A single folder of images is gone through whatever lies beside it; images beside it are told."""
    data = make(tmp_path / "set", f"flowers/{inner}{CLASSES}", beside)
    sources = read(data)
    assert found(sources) == both("train" if inner else None)
    assert [entry.path for entry in sources.skipped] == [
        str(data / name.split("/")[0]) for name in [beside] if name in ("cover.jpg", "annotations/1.xml")
    ]


def test_a_folder_of_annotations_is_no_class(tmp_path: Path) -> None:
    """A folder that holds documents alone, beside class folders, is left out with a reason."""
    data = make(tmp_path / "set", CLASSES, "annotations/{1,2}.xml")
    sources = read(data)
    assert found(sources) == both(None)
    assert [(entry.path, entry.reason) for entry in sources.skipped] == [
        (str(data / "annotations"), "a folder without images is not a class")
    ]


def test_a_table_beside_class_folders_is_told(tmp_path: Path) -> None:
    """Where a table names the images of class folders too, a note says which labels are used."""
    data = make(tmp_path / "set", CLASSES)
    (data / "labels.csv").write_text("path,label\nants/1.jpg,wasps\n")
    sources = read(data)
    assert found(sources) == both(None)
    assert sources.notes == ("labels.csv is not used: the labels are the names of the folders",)


def test_classes_that_are_splits_in_the_end(tmp_path: Path) -> None:
    """Where every way of reading would end in classes called train and test, the data is refused."""
    with pytest.raises(DataError, match="would be test, train: these are splits"):
        read(make(tmp_path / "set", "train/{train,test}/1.jpg"))
    (tmp_path / "empty" / "train").mkdir(parents=True)
    (tmp_path / "empty" / "test").mkdir()
    with pytest.raises(DataError, match="these are splits"):
        read(tmp_path / "empty")


def test_one_labelled_and_one_unlabelled_test(tmp_path: Path) -> None:
    """Two folders for one split are an error only if both have class folders."""
    data = make(tmp_path / "set", f"train/{CLASSES}", f"test/{CLASSES}", "test1/{1,2}.jpg")
    sources = read(data)
    assert found(sources) == both("train", "test")
    assert sources.notes == ("test1/ has no class folders: its 2 files have no labels and cannot be used",)


def test_a_data_set_among_other_folders(tmp_path: Path) -> None:
    """A folder that holds train and valid, however deep, is no class beside a folder of test images."""
    data = make(tmp_path / "set", "Plants/Plants/{train,valid}/{a,b}/1.jpg", "test/test/1.jpg")
    with pytest.raises(DataError, match="Plants/Plants is a data set itself, with train and valid") as caught:
        read(data)
    assert caught.value.hint == f"give one data set, such as {data / 'Plants' / 'Plants'}"


def test_class_folders_beside_images_to_predict(tmp_path: Path) -> None:
    """A folder of class folders beside a test of images is train under another name, or a class: refused."""
    data = make(tmp_path / "set", "flowers/{rose,tulip}/1.jpg", "test/1.jpg")
    with pytest.raises(DataError, match=r"test holds images, but .*flowers contains folders: is it train") as caught:
        read(data)
    assert str(data / "flowers") in caught.value.hint


def test_unlabelled_folders_are_no_split(tmp_path: Path) -> None:
    """What is called as images to predict is never a split of its own, in class folders or beside val."""
    data = make(tmp_path / "set", "{ants,bees}/{train,test,pred}/1.jpg")
    assert found(read(data)) == both("train", "test")
    held = make(tmp_path / "held", f"val/{CLASSES}", f"pred/{CLASSES}")
    assert found(read(held)) == both("val")


def test_links_that_lead_back(tmp_path: Path) -> None:
    """A link to a folder above is no folder of its own, wherever it lies, and the look at the folders ends."""
    data = make(tmp_path / "set", f"inner/{CLASSES}")
    for place in (data / "back", data / "inner" / "up", data / "inner" / "ants" / "top"):
        place.symlink_to(data, target_is_directory=True)
    assert found(read(data)) == both(None)
