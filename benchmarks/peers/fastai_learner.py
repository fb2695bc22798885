"""fastai's `vision_learner(...).fine_tune(...)` on the same backbone, with fastai's own defaults for the rest.

    python fastai_learner.py DATA --epochs 4      one epoch of the new head alone, then 4 of the whole network

DATA holds train/ and val/. Prints one JSON object: the val accuracy of every epoch.
"""

import argparse
import json
import warnings
from pathlib import Path

from fastai.vision.all import (
    ImageDataLoaders,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    set_seed,
    vision_learner,
)
from lite0 import MEAN, SIZE_PX, STD, pretrained_lite0


def main() -> None:
    """Fine-tunes and prints the result."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    set_seed(options.seed)
    loaders = ImageDataLoaders.from_folder(
        options.data,
        train="train",
        valid="val",
        item_tfms=Resize(SIZE_PX),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(MEAN, STD)],
        num_workers=2,
    )
    # fastai would download timm's weights from a hub. The same weights as for the other peers are loaded here instead.
    learner = vision_learner(loaders, "tf_efficientnet_lite0", metrics=accuracy, pretrained=False, normalize=False)
    body = pretrained_lite0()
    body.reset_classifier(0, "")
    learner.model[0].model.load_state_dict(body.state_dict())
    with learner.no_bar(), learner.no_logging():
        accuracies = []
        learner.fine_tune(options.epochs)
        accuracies = [float(values[-1]) for values in learner.recorder.values]
    print(json.dumps({"accuracies": accuracies}))


if __name__ == "__main__":
    main()
