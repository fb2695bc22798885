"""Addresses of the Hugging Face hub as text: which repository they are in, and which may be pushed to."""

import pytest

from headstart.addresses.hub import repository_name, top_of
from headstart.addresses.hub_commits import repository_in
from headstart.errors import DataError


@pytest.mark.parametrize(
    ("address", "top", "name"),
    [
        ("hf://ann/shapes", "hf://ann/shapes", "shapes"),
        ("hf://ann/shapes/", "hf://ann/shapes", "shapes"),
        ("hf://ann/shapes@v1.0", "hf://ann/shapes@v1.0", "shapes"),
        ("hf://ann/shapes/onnx/model.onnx", "hf://ann/shapes", ""),
        ("hf://datasets/ann/shapes@main/data", "hf://datasets/ann/shapes@main", ""),
        ("hf://datasets/ann/shapes@refs/convert/parquet", "hf://datasets/ann/shapes@refs/convert/parquet", "shapes"),
        ("hf://datasets/ann/shapes@refs/convert/parquet/default", "hf://datasets/ann/shapes@refs/convert/parquet", ""),
        ("s3://bucket/a@b", "s3://bucket/a@b", ""),
    ],
)
def test_the_repository_of_an_address(address: str, top: str, name: str) -> None:
    assert (top_of(address), repository_name(address)) == (top, name)


def test_where_models_are_pushed_to() -> None:
    assert repository_in("hf://ann/shapes") == ("ann/shapes", None)
    assert repository_in("hf://models/ann/shapes@v1") == ("ann/shapes", "v1")
    for address in ("hf://ann", "hf://datasets/ann", "hf://datasets/ann/x", "hf://ann/x/y", "hf://spaces/ann/x", "s3://ann/x"):
        with pytest.raises(DataError, match="is no place for a model"):
            repository_in(address)
