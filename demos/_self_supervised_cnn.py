"""A small CNN trained on the bundled photographs without labels.

It classifies from which of some hundred places a crop comes, although the crop is shifted, mirrored,
and changed in contrast and tint: A. Dosovitskiy, J. T. Springenberg, M. Riedmiller, T. Brox,
"Discriminative unsupervised feature learning with convolutional neural networks", NeurIPS 2014.
Only its first layer is of interest here.
"""

import numpy as np

import csc

CROP_SIDE, MAX_SHIFT = 36, 6  # pixels
BATCH_SIZE = 128  # crops
MIN_CONTRAST = 0.5  # standard deviation of a crop; that of a photograph is 1
N_LAST_STEPS = 50  # over which the training accuracy is averaged


def standardise(pictures):
    """Return colour photographs with mean 0 and variance 1 each."""
    return [((p - p.mean()) / p.std()).astype("float32") for p in pictures]


def draw_places(pictures, n, rng):
    """Draw picture, row and column of ``n`` places with enough contrast."""
    places = []
    while len(places) < n:
        i = int(rng.integers(len(pictures)))
        h, w = pictures[i].shape[1:]
        row, column = (int(rng.integers(MAX_SHIFT, m - CROP_SIDE - MAX_SHIFT)) for m in (h, w))
        if pictures[i][:, row : row + CROP_SIDE, column : column + CROP_SIDE].std() > MIN_CONTRAST:
            places.append((i, row, column))
    return places


def draw_crops(pictures, places, rng):
    """Draw changed crops ``(BATCH_SIZE, C, CROP_SIDE, CROP_SIDE)``, and the number of their place."""
    labels, n_channels = rng.integers(len(places), size=BATCH_SIZE), len(pictures[0])
    x = np.empty((BATCH_SIZE, n_channels, CROP_SIDE, CROP_SIDE), "float32")
    shifts = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, (BATCH_SIZE, 2))
    for n, (i, row, column) in enumerate(places[k] for k in labels):
        r, c = (row, column) + shifts[n]
        x[n] = pictures[i][:, r : r + CROP_SIDE, c : c + CROP_SIDE]
    mirrored = rng.random(BATCH_SIZE) < 0.5
    x[mirrored] = x[mirrored, :, :, ::-1]
    contrast = np.exp(0.3 * rng.standard_normal((BATCH_SIZE, 1, 1, 1)))
    tint = 0.2 * rng.standard_normal((BATCH_SIZE, n_channels, 1, 1))
    return (x * contrast + tint).astype("float32"), labels


def build_network(n_filters, n_places):
    """Return two convolutions, the first of 11x11, and a linear classifier."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, n_filters, 11, stride=2), nn.BatchNorm2d(n_filters), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(n_filters, 96, 3), nn.BatchNorm2d(96), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 96, n_places),
    )  # fmt: skip


def first_layers(n_steps, *, n_filters=48, n_places=400, seed=0):
    """Return the first layer after and before training, and the accuracy of the last steps."""
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pictures = standardise(p.pixels for p in csc.images.natural(colour=True))
    places = draw_places(pictures, n_places, rng)
    network = build_network(n_filters, n_places)
    untrained = network[0].weight.detach().numpy().copy()
    accuracy = train(network, pictures, places, n_steps, rng)
    return network[0].weight.detach().numpy(), untrained, accuracy


def train(network, pictures, places, n_steps, rng):
    """Train a network to tell the places of changed crops; return the accuracy of the last steps."""
    import torch

    torch.set_num_threads(1)  # the products are small: more threads are slower
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=2e-3
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.15, total_steps=max(n_steps, 2))
    accuracies = []
    for _ in range(n_steps):
        x, labels = (torch.from_numpy(a) for a in draw_crops(pictures, places, rng))
        optimizer.zero_grad()
        scores = network(x)
        torch.nn.functional.cross_entropy(scores, labels).backward()
        optimizer.step()
        schedule.step()
        accuracies.append(float((scores.argmax(1) == labels).float().mean()))
    return float(np.mean(accuracies[-N_LAST_STEPS:]))
