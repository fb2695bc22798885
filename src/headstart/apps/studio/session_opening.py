"""Opens a project with its images."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from headstart.apps.http.limits import Limits
from headstart.apps.studio.runs import Runs
from headstart.apps.studio.session import Session
from headstart.data.catalog import open_data
from headstart.data.reading import Reading
from headstart.data.relabelling import paths_in
from headstart.data.sources import class_name
from headstart.data.videos import with_frames
from headstart.errors import DataError
from headstart.fitting.levels import levels_found
from headstart.labelling.catalogue import Catalogue
from headstart.labelling.project import open_project
from headstart.labelling.workbench import Workbench
from headstart.model.feature_store import FeatureStore
from headstart.model.pretrained import Backbone, open_backbone
from headstart.model.thumbnails import Thumbnails
from headstart.progress import silent
from headstart.record.places import check_outside
from headstart.settings import TrainSettings
from headstart.threads import begun, one_blas_thread

PROJECTS = "projects"  # the folder of projects that were given no other place


@contextmanager
def open_session(data: str, project: Path | None, settings: TrainSettings, limits: Limits) -> Iterator[Session]:
    """The session of DATA; open while the block runs. Raises HeadstartError.

    Meanwhile each thread computes its matrix products alone. Several fit and compare at once, and each wants that for its own
    part: the first to end would give the others two threads again, with which a fit took seven times as long.
    """
    store = FeatureStore()
    with one_blas_thread(), ExitStack() as stack:
        # Beside the listing. Nobody waits for a network to be compiled, or downloaded, to be told that DATA is none.
        # Levels that are found on the images have to be known first.
        early = Path(data).exists() and not settings.channels
        backbone = begun(lambda: _prepared(settings, store)) if early else None
        given = stack.enter_context(open_data(data, Reading(with_unlabelled=True), offline=settings.offline))
        (source,) = stack.enter_context(with_frames([given], settings.every))
        if not source.candidates:
            raise DataError(f"there is no image in {data}", hint="JPEG, PNG, WebP, BMP, TIFF, PPM and AVIF are read")
        folder = project or Path(PROJECTS) / source.name
        check_outside(folder, data, option="--project")
        opened = stack.enter_context(open_project(folder))
        levels = levels_found([source], settings)
        catalogue = Catalogue.of(source.candidates, opened.log.classes())
        catalogue.channels = levels.channels
        keys = [class_name(path) for path in paths_in(source)]
        network = backbone.result() if backbone else _prepared(settings, store, levels.channels)
        bench = Workbench(catalogue, keys, opened.log, network, folder, store, notes=levels.notes)
        # A million objects of 100,000 images, which stay: to look through them all for garbage takes a quarter of a second, in
        # which nobody is answered.
        stack.callback(gc.unfreeze)
        gc.freeze()
        thumbnails = Thumbnails(channels=levels.channels)
        yield Session(source.name, data, [source], opened, bench, settings, Runs(opened.runs), limits, thumbnails)


def _prepared(settings: TrainSettings, store: FeatureStore, channels: str = "") -> Backbone:
    """The backbone, with what the store has of it at hand."""
    backbone = open_backbone(settings, silent).choosing(channels)
    if backbone.frozen is not None:
        store.shelf(backbone.preprocess, backbone.frozen.extractor).prepare()
    return backbone
