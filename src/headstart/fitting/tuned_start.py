"""Fine-tuning that starts from the weights of the run that is extended, instead of the pretrained ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.fitting.scanned import Scanned
from headstart.fitting.training_pixels import open_again
from headstart.model.backbones import pretrained_network
from headstart.model.hardware import find_hardware
from headstart.model.pipeline import Pipeline
from headstart.model.weights import WeightsFile
from headstart.progress import Progress
from headstart.recipes import default_workers
from headstart.storage import sha256_of_file

STAGE = "features of the extended run"


def from_tuned(scanned: Scanned, weights: Path, progress: Progress) -> Scanned:
    """The same images as the network in `weights` sees them: fine-tuning starts from it, with a head fitted on its features.

    Every image passes through it once. Raises DataError if one cannot be read any more.
    """
    backbone = scanned.backbone
    file = WeightsFile(weights, sha256_of_file(weights), "the run that is extended")
    hardware = find_hardware(scanned.settings.device)
    network = pretrained_network(backbone.spec, file, hardware.device)
    network.preprocess = backbone.preprocess
    workers = scanned.settings.workers or default_workers(hardware.cores)
    pipeline = Pipeline(network.preprocess, network.extractor())
    vectors = np.empty(scanned.vectors.shape, np.float32)
    with network.folded():
        for i, one in enumerate(open_again(pipeline, scanned.dataset.images, workers, progress, STAGE)):
            vectors[i] = one.vector
    return replace(scanned, backbone=replace(backbone, weights=file), vectors=vectors)
