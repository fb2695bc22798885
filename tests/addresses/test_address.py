"""Addresses are told from paths, whatever made them, and shown without secrets."""

from pathlib import Path, PureWindowsPath

import pytest

from headstart.addresses.address import address_in, folder_of, joined, name_of, protocol_of, shown


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("s3://bucket/a b/ü.jpg", "s3://bucket/a b/ü.jpg"),
        ("S3://bucket/a", "s3://bucket/a"),
        ("s3://bucket//a", "s3://bucket//a"),
        (Path("s3://bucket/a"), "s3://bucket/a"),
        (PureWindowsPath("s3://bucket/a"), "s3://bucket/a"),
        ("https://example.org/a.jpg?X=1//2", "https://example.org/a.jpg?X=1//2"),
        ("hf://datasets/a/b", "hf://datasets/a/b"),
    ],
)
def test_addresses(given, address):
    assert address_in(given) == address


@pytest.mark.parametrize(
    "given", ["photos", "/photos", "C:/photos", PureWindowsPath("C:/photos"), "a:b", "s3:", "file:///a", ""]
)
def test_paths_of_this_machine_are_no_addresses(given):
    assert address_in(given) is None


def test_the_parts_of_an_address():
    link = "https://example.org/photos/a.jpg?Signature=x/y"
    assert (protocol_of(link), name_of(link), folder_of(link)) == ("https", "a.jpg", "https://example.org/photos")
    assert joined("s3://bucket/photos/", "a", "b.jpg") == "s3://bucket/photos/a/b.jpg"
    assert name_of("s3://bucket/photos/") == "photos"


def test_what_is_shown_has_no_password_and_no_signature():
    assert shown("https://user:secret@example.org/a.jpg?sig=secret#x") == "https://example.org/a.jpg"
    assert shown("s3://bucket/a@b.jpg") == "s3://bucket/a@b.jpg"
