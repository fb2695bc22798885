"""The procedure of PyTorch's "Transfer Learning for Computer Vision" tutorial, as one plain script.

    python tutorial.py DATA --frozen          the network as a fixed feature extractor
    python tutorial.py DATA                   fine-tuning
    python tutorial.py DATA --epochs 2        the first two epochs of 25, to extrapolate from

DATA holds train/ and val/. Prints one JSON object: the val accuracy of every epoch and the seconds of each.
On one machine with two cores, 25 epochs on ants and bees took 432 s frozen and 749 s fine-tuned. Machines differ in speed, so
compare only figures from the same run.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from lite0 import MEAN, STD, pretrained_lite0
from torch import nn, optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def main() -> None:
    """Trains as the tutorial does and prints the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--frozen", action="store_true")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    phases = {
        "train": transforms.Compose(
            [
                transforms.RandomResizedCrop(224),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        ),
        "val": transforms.Compose(
            [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        ),
    }
    image_sets = {phase: datasets.ImageFolder(options.data / phase, transform) for phase, transform in phases.items()}
    loaders = {phase: DataLoader(images, batch_size=4, shuffle=True, num_workers=4) for phase, images in image_sets.items()}
    network = pretrained_lite0()
    if options.frozen:
        for parameter in network.parameters():
            parameter.requires_grad = False
    network.classifier = nn.Linear(network.classifier.in_features, len(image_sets["train"].classes))
    criterion = nn.CrossEntropyLoss()
    trained = network.classifier.parameters() if options.frozen else network.parameters()
    optimizer = optim.SGD(trained, lr=0.001, momentum=0.9)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    accuracies, seconds = [], []
    best = copy.deepcopy(network.state_dict())
    for _ in range(options.epochs):
        began = time.perf_counter()
        for phase, loader in loaders.items():
            network.train(phase == "train")
            n_right = 0
            for inputs, labels in loader:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = network(inputs)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                n_right += int((outputs.argmax(1) == labels).sum())
            if phase == "train":
                scheduler.step()
        accuracies.append(n_right / len(image_sets["val"]))
        seconds.append(time.perf_counter() - began)
        if accuracies[-1] == max(accuracies):
            best = copy.deepcopy(network.state_dict())
    network.load_state_dict(best)
    print(json.dumps({"accuracies": accuracies, "epoch_seconds": seconds, "epochs_of_the_procedure": 25}))


if __name__ == "__main__":
    main()
