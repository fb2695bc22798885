"""Models on the Hugging Face hub: what `headstart push` sends there."""

from dataclasses import dataclass
from pathlib import Path

from headstart.addresses.address import address_in, protocol_of, shown_place
from headstart.addresses.hub import HUB
from headstart.addresses.hub_commits import Committed, commit_files, repository_in
from headstart.artifact.bundle import CARD, FAMILIARITY, WEIGHTS, digests_in, read_bundle
from headstart.artifact.hub_card import hub_card
from headstart.artifact.manifest import MANIFEST
from headstart.errors import SettingsError
from headstart.model.exported import FILES, HEAD
from headstart.storage import AnyPath

# What models consist of: of an earlier model in the same repository these are removed, if this one does not have them.
PARTS = {WEIGHTS, FAMILIARITY, HEAD, *FILES.values(), "model.bin"}


@dataclass(frozen=True, slots=True)
class Pushed:
    """A model on the hub."""

    committed: Committed
    files: tuple[str, ...]  # their names


def push_model(
    model: AnyPath,
    address: str,
    *,
    public: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> Pushed:
    """Uploads a bundle, the one of a run, or an export to the repository hf://user/name, which is made if there is none.

    Only what the manifest names is uploaded, after its digests were checked, and a model card made from the manifest; all in
    one commit. A new repository is private, unless `public`; nothing is pushed to a public one without it. Raises BundleError,
    DataError, and SettingsError if the address is none of the hub.
    """
    there = address_in(address)
    if there is None or protocol_of(there) != HUB:
        raise SettingsError(f"{shown_place(address)} is no address of the Hugging Face hub", hint="such as hf://user/name")
    name, _ = repository_in(there)
    bundle = read_bundle(Path(model))
    manifest = bundle.manifest
    names = (MANIFEST, *digests_in(manifest))
    card = hub_card(manifest, f"{HUB}://{name}").encode("utf-8", "backslashreplace")
    committed = commit_files(
        there,
        {CARD: card, **{one: bundle.folder / one for one in names}},
        message=message or f"{manifest.strategy} of {manifest.backbone.name}, {len(manifest.classes)} classes",
        may_be_public=public,
        revision=revision,
        obsolete=PARTS,
    )
    return Pushed(committed, (CARD, *names))
