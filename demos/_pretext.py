"""A small CNN that trains itself on the bundled photographs, without labels.

Its task is to say which of some hundred places a crop comes from, though the crop is moved,
mirrored, and changed in contrast and tint: A. Dosovitskiy, J. T. Springenberg, M. Riedmiller,
T. Brox, "Discriminative unsupervised feature learning with convolutional neural networks",
NeurIPS 2014. What the first layer becomes is what it is good for.
"""

import numpy as np

import csc

SIDE, JITTER, BATCH = 36, 6, 128  # pixels of a crop, of its moves; crops a step


def standardised(pictures):
    """Colour photographs of mean 0 and variance 1 each."""
    return [((p - p.mean()) / p.std()).astype("float32") for p in pictures]


def places(pictures, n, rng):
    """Picture, row and column of ``n`` places where there is something to see."""
    found = []
    while len(found) < n:
        i = int(rng.integers(len(pictures)))
        h, w = pictures[i].shape[1:]
        row, column = (int(rng.integers(JITTER, m - SIDE - JITTER)) for m in (h, w))
        if pictures[i][:, row : row + SIDE, column : column + SIDE].std() > 0.5:
            found.append((i, row, column))
    return found


def crops(pictures, where, rng):
    """A batch of changed crops ``(BATCH, 3, SIDE, SIDE)``, and which place each is from."""
    which = rng.integers(len(where), size=BATCH)
    x = np.empty((BATCH, 3, SIDE, SIDE), "float32")
    moves = rng.integers(-JITTER, JITTER + 1, (BATCH, 2))
    for n, (i, row, column) in enumerate(where[k] for k in which):
        r, c = (row, column) + moves[n]
        x[n] = pictures[i][:, r : r + SIDE, c : c + SIDE]
    mirrored = rng.random(BATCH) < 0.5
    x[mirrored] = x[mirrored, :, :, ::-1]
    contrast, tint = np.exp(0.3 * rng.standard_normal((BATCH, 1, 1, 1))), rng.standard_normal
    return (x * contrast + 0.2 * tint((BATCH, 3, 1, 1))).astype("float32"), which


def network(n_filters, n_places):
    """Two convolutions, the first of 11x11, and a linear classifier."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, n_filters, 11, stride=2), nn.BatchNorm2d(n_filters), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(n_filters, 96, 3), nn.BatchNorm2d(96), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 96, n_places),
    )  # fmt: skip


def first_layers(steps, *, n_filters=48, n_places=400, seed=0):
    """First layer after training and before it, and the part of the last crops that it knew."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)  # small products: where others work too, a second thread is waited for
    rng = np.random.default_rng(seed)
    pictures = standardised(p.pixels for p in csc.images.natural(colour=True))
    where = places(pictures, n_places, rng)
    net = network(n_filters, n_places)
    before = net[0].weight.detach().numpy().copy()
    descent = torch.optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=2e-3
    )
    slower = torch.optim.lr_scheduler.OneCycleLR(descent, 0.15, total_steps=max(steps, 2))
    known = []
    for _ in range(steps):
        x, which = (torch.from_numpy(a) for a in crops(pictures, where, rng))
        descent.zero_grad()
        said = net(x)
        torch.nn.functional.cross_entropy(said, which).backward()
        descent.step()
        slower.step()
        known.append(float((said.argmax(1) == which).float().mean()))
    return net[0].weight.detach().numpy(), before, float(np.mean(known[-50:]))
