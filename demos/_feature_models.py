"""First layers, pursuits and classifiers that `demos.features` compares."""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

import csc
from demos._unrolled_pursuits import basis_pursuit, ml_fista, pool

ATOM_SIDE = {"digits": 4, "mnist": 7}  # pixels, of the first layer
STRIDE = {"digits": 1, "mnist": 3}  # pixels
# Tried values of lmbda, as fractions of the mean lmbda_max of the training pictures.
LMBDA_FRACTIONS = 0.02, 0.1, 0.3
LEARNING_LMBDA = csc.Relative(0.05)
BATCH_SIZE = 500  # pictures that are encoded at a time


class Model(NamedTuple):
    """Scores of ten digits, and the scores of the same model with a pursuit of a single step."""

    scores: object
    one_step_scores: object = None


class LayerSettings(NamedTuple):
    """Penalty and step size of one layer of a pursuit."""

    lmbda: float
    step_size: float


def fit_models(train, args, seed):
    """Yield names and fitted models."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the products are small: more threads are slower
    x, side, stride = train[0], ATOM_SIDE[args.data], STRIDE[args.data]
    yield "pixels", fit_classifier(train, [lambda x: x.flatten(1)])
    cnn = train_network(train, args.atoms, side, stride)
    yield "CNN, trained on labels", Model(cnn)
    filters = csc.constraints.UnitSphere().project(cnn[0].weight.detach().numpy())
    noise = np.random.default_rng(seed).standard_normal(filters.shape)
    first_layers = {
        "random": csc.constraints.UnitSphere().project(noise),
        "from photographs": atoms_from_photographs(args.atoms, side, seed),
        "from the digits": convolutional_atoms(x, args.atoms, side, seed),
        "of the CNN": filters,
    }
    for name, atoms in first_layers.items():
        layers = [atoms.astype("float32")]
        for pursuit, n_steps in (("one step", 1), ("basis pursuit", args.steps)):
            yield f"{name}, {pursuit}", fit_best_lmbda(train, layers, layered, n_steps, stride)
    layers = [first_layers["from the digits"].astype("float32")]
    layers.append(second_layer_atoms(x, layers[0], args.atoms, stride, seed))
    for name, pursuit, n_steps in (
        ("layered thresholding", layered, 1),
        ("layered basis pursuit", layered, args.steps),
        ("ML-FISTA", joint, args.steps),
    ):
        yield f"two layers, {name}", fit_best_lmbda(train, layers, pursuit, n_steps, stride)
    scattering = scattering_features(x.shape[2:])
    if scattering is not None:
        yield "scattering", fit_classifier(train, [scattering])


# ---- Pursuits


def layered(x, layers, settings, n_steps, stride):
    """Return codes of all layers; each layer codes the codes of the layer before."""
    codes = []
    for atoms, (lmbda, step_size) in zip(layers, settings, strict=True):
        x = basis_pursuit(x, atoms, lmbda, step_size, n_steps, stride if not codes else 1)
        codes.append(x)
    return codes


def joint(x, layers, settings, n_steps, stride):
    """Return codes of all layers by ML-FISTA."""
    lmbdas, step_sizes = zip(*settings, strict=True)
    return ml_fista(x, layers, lmbdas, step_sizes, n_steps, stride)


def candidate_settings(x, layers, n_steps, stride):
    """Return the settings of all layers for each of `LMBDA_FRACTIONS`."""
    step_sizes, spatial_shape = [], x.shape[2:]
    strides = [stride] + [1] * (len(layers) - 1)
    for atoms, layer_stride in zip(layers, strides, strict=True):
        D = csc.Dictionary(atoms.numpy(), stride=layer_stride)
        step_sizes.append(1 / D.lipschitz(spatial_shape))
        spatial_shape = D.spatial_code_shape(spatial_shape)
    candidates = []
    for fraction in LMBDA_FRACTIONS:
        below, settings = x[:BATCH_SIZE], []
        for atoms, step_size, layer_stride in zip(layers, step_sizes, strides, strict=True):
            correlations = torch.nn.functional.conv2d(below, atoms, stride=layer_stride)
            lmbda = fraction * float(correlations.flatten(1).amax(1).mean())
            settings.append(LayerSettings(lmbda, step_size))
            below = basis_pursuit(below, atoms, lmbda, step_size, n_steps, layer_stride)
        candidates.append(settings)
    return candidates


# ---- Classifiers


def fit_best_lmbda(train, layers, pursuit, n_steps, stride):
    """Choose lmbda by the accuracy on training pictures held out, then fit a classifier on all."""
    x, layers = torch.from_numpy(train[0]), [torch.from_numpy(atoms) for atoms in layers]

    def encoder(settings, n):
        return lambda x: pool(pursuit(x, layers, settings, n, stride))

    candidates = candidate_settings(x, layers, n_steps, stride)
    n = min(BATCH_SIZE, len(x) // 2)
    fitting, validation = slice(n), slice(n, 2 * n)
    accuracies = []
    for settings in candidates:
        model = fit_classifier([a[fitting] for a in train], [encoder(settings, n_steps)])
        predictions = model.scores(x[validation]).argmax(1).numpy()
        accuracies.append((predictions == train[1][validation]).mean())
    best = candidates[int(np.argmax(accuracies))]
    return fit_classifier(train, [encoder(best, n) for n in sorted({n_steps, 1}, reverse=True)])


def fit_classifier(train, encoders):
    """Fit logistic regression on the features of the first encoder.

    A second encoder gives the scores for the one-step attack.
    """
    x, labels = train
    with torch.inference_mode():
        batches = torch.from_numpy(x).split(BATCH_SIZE)
        features = torch.cat([encoders[0](batch) for batch in batches])
    mean, scale = features.mean(0), features.std(0).clamp_min(1e-6)
    standardised = ((features - mean) / scale).numpy()
    head = LogisticRegression(C=0.1, max_iter=2000).fit(standardised, labels)
    W, b = (torch.from_numpy(a.astype("float32")) for a in (head.coef_, head.intercept_))
    return Model(*(partial(_scores, encode, mean, scale, W, b) for encode in encoders))


def _scores(encode, mean, scale, W, b, x):
    return ((encode(x) - mean) / scale) @ W.T + b


def train_network(train, n_atoms, side, stride, n_epochs=30):
    """Train a convolution with ReLU, means over quarters and a linear classifier on the labels."""
    from torch import nn

    network = nn.Sequential(
        nn.Conv2d(1, n_atoms, side, stride=stride), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(4 * n_atoms, 10),
    )  # fmt: skip
    x, labels = (torch.from_numpy(a) for a in train)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), labels[batch]).backward()
            optimizer.step()
    return network.requires_grad_(False)


# ---- Layers learned without labels


def atoms_from_photographs(n_atoms, side, seed):
    """Learn atoms from whitened patches."""
    whitened = [csc.images.whiten(p.pixels, variance=0.1) for p in csc.images.natural()]
    X = csc.images.extract_patches(whitened, (side, side), n=10_000, border=4, rng=seed)
    learner = csc.DictionaryLearning(n_atoms, (side, side), 0.3, max_iter=4, random_state=seed)
    return learner.fit(X).atoms_


def convolutional_atoms(x, n_atoms, side, seed, n_signals=200):
    """Learn convolutional atoms with non-negative codes, from pictures or from codes."""
    penalty = csc.L1(LEARNING_LMBDA, positive=True)
    learner = csc.DictionaryLearning(
        n_atoms, (side, side), penalty=penalty, batch_size=50, max_iter=4, random_state=seed
    )
    return csc.constraints.UnitSphere().project(learner.fit(x[:n_signals]).atoms_)


def second_layer_atoms(x, atoms, n_atoms, stride, seed, n_signals=200):
    """Learn atoms of 3x3 from the codes of a first layer."""
    D, penalty = csc.Dictionary(atoms, stride=stride), csc.L1(LEARNING_LMBDA, positive=True)
    codes = csc.solve(csc.Problem(x[:n_signals], D, penalty), tol=1e-3).codes
    return convolutional_atoms(codes, n_atoms, 3, seed).astype("float32")


def scattering_features(picture_shape):
    """Return an encoder by scattering, or None without kymatio."""
    try:
        from kymatio.scattering2d.frontend.torch_frontend import ScatteringTorch2D
    except ImportError:
        return None
    n_scales = 2 if min(picture_shape) >= 16 else 1
    transform = ScatteringTorch2D(n_scales, picture_shape)
    return lambda x: pool([transform(x[:, 0].contiguous())])
