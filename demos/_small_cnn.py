"""The network of `demos.cnn_is_a_pursuit`, its dictionary, and what is measured of its codes."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import csc

LEAST = 0.01  # of the thresholds


def digits(n, n_test):
    """Pictures ``(N, 1, 8, 8)`` in [0, 1] and labels, of training and of test."""
    found = load_digits()
    x, labels = (found.images[:, None] / 16).astype("float32"), found.target
    order = np.random.default_rng(0).permutation(len(x))[:n]
    return [(x[part], labels[part]) for part in (order[n_test:], order[:n_test])]


def trained(x, labels, epochs, *, bounded=True):
    """Convolutions and head of a network; its biases at most ``-LEAST`` if ``bounded``."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 64, 4), nn.ReLU(),
    )  # fmt: skip
    head = nn.Linear(64, 10)
    descent = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3)
    x, labels = torch.tensor(x), torch.tensor(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            descent.zero_grad()
            nn.functional.cross_entropy(head(body(x[batch]).flatten(1)), labels[batch]).backward()
            descent.step()
            with torch.no_grad():
                for conv in body[::2] if bounded else ():
                    conv.bias.clamp_(max=-LEAST)
    return body, head


def balanced(D, thresholds, extents):
    """The same codes but for a factor, with ``||D_i|| <= 1``; and the factors."""
    layers, betas, factors = [], [], []
    for layer, beta, S in zip(D.layers, thresholds, D.extents(extents), strict=False):
        norm = layer.lipschitz(S) ** 0.5
        factors.append((factors[-1] if factors else 1.0) * norm)
        layers.append(csc.Dictionary(layer.atoms / np.float32(norm), layer.mode, layer.stride))
        betas.append((beta / factors[-1]).astype("float32"))
    return csc.MultiLayerDictionary(layers), betas, factors


def measure(x, D, codes):
    """Of each layer: unexplained part of the layer below and of the picture, nonzero codes."""
    rows, below = [], x
    for i, z in enumerate(codes, 1):
        near = below - D.layers[i - 1](z, below.shape[2:])
        far = x - D.synthesize(z, from_layer=i, shape=x.shape[2:])
        rows.append({"unexplained_below": ratio(near, below), "unexplained_picture": ratio(far, x),
                     "nonzero": float((z != 0).mean())})  # fmt: skip
        below = z
    return rows


def ratio(a, b):
    return float(np.linalg.norm(a) / max(np.linalg.norm(b), 1e-30))


def accuracy(codes, labels, head):
    """Part of the digits that a linear head tells from the deepest codes."""
    W, b = (p.detach().numpy() for p in (head.weight, head.bias))
    return float(((codes.reshape(len(codes), -1) @ W.T + b).argmax(axis=1) == labels).mean())


def refitted(train, labels, codes, test_labels):
    """The same by a linear head that was fitted to such codes."""
    train, codes = (z.reshape(len(z), -1) / max(train.std(), 1e-30) for z in (train, codes))
    head = LogisticRegression(C=100, max_iter=3000).fit(train, labels)
    return float(head.score(codes, test_labels))
