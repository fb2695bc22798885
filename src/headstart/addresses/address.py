"""Addresses as text, such as s3://bucket/photos/a.jpg: told from paths, taken apart, shown without secrets."""

import re
from pathlib import PurePath

# Two letters or more, so that the drives of Windows are none. `Path` makes the two slashes one.
FORM = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]+):/{1,2}(?P<rest>[^/].*)", re.IGNORECASE | re.DOTALL)
ON_THIS_MACHINE = {"file", "local"}
SIGNED = re.compile(r"[?#].*$", re.DOTALL)
USER = re.compile(r"^[^/@]*@")


def address_in(given: str | PurePath) -> str | None:
    """The address that a text or path is; None for paths of this machine. Where `Path` took a slash, it is put back."""
    found = FORM.fullmatch(given.as_posix() if isinstance(given, PurePath) else given)
    if found is None or found["protocol"].lower() in ON_THIS_MACHINE:
        return None
    return f"{found['protocol'].lower()}://{found['rest']}"


def protocol_of(address: str) -> str:
    """What is before the colon, such as s3."""
    return address.partition("://")[0]


def joined(address: str, *names: str) -> str:
    """The address of what has these names below a folder."""
    return "/".join([address.rstrip("/"), *names])


def name_of(address: str) -> str:
    """The last part of an address, without what follows a ? in a link; "" for a whole bucket's slash."""
    _, _, rest = address.partition("://")
    return SIGNED.sub("", rest).rstrip("/").rpartition("/")[2]


def folder_of(address: str) -> str:
    """The folder that a file is in."""
    return SIGNED.sub("", address).rstrip("/").rpartition("/")[0]


def shown(address: str) -> str:
    """The address without a password, a key or a signature, for messages and files."""
    protocol, _, rest = address.partition("://")
    return f"{protocol}://{USER.sub('', SIGNED.sub('', rest))}"


def shown_place(given: str | PurePath) -> str:
    """A path of this machine or an address, for messages and files; with forward slashes on every platform."""
    address = address_in(given)
    if address is not None:
        return shown(address)
    return given.as_posix() if isinstance(given, PurePath) else given
