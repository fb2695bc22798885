"""Transfer learning as most people write it: timm, torchvision transforms, a DataLoader, and scikit-learn on the features.

    python usual_script.py DATA

DATA holds train/ and val/. Prints one JSON object: the val accuracy, and the images per second that were turned into features.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from lite0 import MEAN, RESIZE_PX, SIZE_PX, STD, pretrained_lite0
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def main() -> None:
    """Fits on train, scores on val, and prints the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    transform = transforms.Compose(
        [
            transforms.Resize(RESIZE_PX, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(SIZE_PX),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    network = pretrained_lite0()
    network.reset_classifier(0)
    network.eval()
    began, n_images = time.perf_counter(), 0
    vectors, labels = {}, {}
    for split in ("train", "val"):
        loader = DataLoader(datasets.ImageFolder(options.data / split, transform), batch_size=32, num_workers=2)
        parts = []
        with torch.inference_mode():
            for inputs, targets in loader:
                parts.append((network(inputs).numpy(), targets.numpy()))
        vectors[split], labels[split] = (np.concatenate(column) for column in zip(*parts, strict=True))
        n_images += len(labels[split])
    seconds = time.perf_counter() - began
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    accuracy = classifier.fit(vectors["train"], labels["train"]).score(vectors["val"], labels["val"])
    print(json.dumps({"accuracies": [accuracy], "images_per_second": n_images / seconds}))


if __name__ == "__main__":
    main()
