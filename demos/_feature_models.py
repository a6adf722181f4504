"""First layers, pursuits and classifiers that `demos.features` compares."""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

import csc
from demos._unrolled import basis_pursuit, ml_fista, pooled

SIDE, STRIDE = {"digits": 4, "mnist": 7}, {"digits": 1, "mnist": 3}
STRENGTHS = 0.02, 0.1, 0.3  # of lmbda_max of the mean picture; chosen by pictures held out
BATCH = 500


class Model(NamedTuple):
    """Scores of ten digits, and the same as an attack sees them that knows one step only."""

    scores: object
    blind: object = None


def models(train, args, seed):
    """Names and fitted models, one by one."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # small products: a second thread would wait more than work
    x, side, stride = train[0], SIDE[args.data], STRIDE[args.data]
    yield "pixels", classified(train, [lambda x: x.flatten(1)])
    cnn = network(train, args.atoms, side, stride)
    yield "CNN, trained on labels", Model(cnn)
    filters = csc.constraints.UnitSphere().project(cnn[0].weight.detach().numpy())
    noise = np.random.default_rng(seed).standard_normal(filters.shape)
    sources = {
        "random": csc.constraints.UnitSphere().project(noise),
        "from photographs": from_photographs(args.atoms, side, seed),
        "from the digits": from_signals(x, args.atoms, side, seed),
        "of the CNN": filters,
    }  # fmt: skip
    for name, atoms in sources.items():
        layers = [atoms.astype("float32")]
        for pursuit, n_steps in (("one step", 1), ("basis pursuit", args.steps)):
            yield f"{name}, {pursuit}", chosen(train, layers, layered, n_steps, stride)
    layers = [sources["from the digits"].astype("float32")]
    layers.append(second_layer(x, layers[0], args, stride, seed))
    yield "two layers, layered thresholding", chosen(train, layers, layered, 1, stride)
    yield "two layers, layered basis pursuit", chosen(train, layers, layered, args.steps, stride)
    yield "two layers, ML-FISTA", chosen(train, layers, joint, args.steps, stride)
    scattered = scattering(x.shape[2:])
    if scattered is not None:
        yield "scattering", classified(train, [scattered])


def layered(x, layers, strengths, n_steps, stride):
    """Codes of all layers, each by a pursuit of its own."""
    codes = []
    for atoms, (lmbda, step) in zip(layers, strengths, strict=True):
        x = basis_pursuit(x, atoms, lmbda, step, n_steps, stride if not codes else 1)
        codes.append(x)
    return codes


def joint(x, layers, strengths, n_steps, stride):
    """Codes of all layers by ML-FISTA."""
    lmbdas, steps = zip(*strengths, strict=True)
    return ml_fista(x, layers, lmbdas, steps, n_steps, stride)


def chosen(train, layers, pursuit, n_steps, stride):
    """The classifier of the strength that other training pictures like best, fitted on all."""
    x, extents = torch.from_numpy(train[0]), train[0].shape[2:]
    tensors, steps, units = [torch.from_numpy(atoms) for atoms in layers], [], []
    for i, atoms in enumerate(layers):
        D = csc.Dictionary(atoms, stride=stride if i == 0 else 1)
        steps.append(1 / D.lipschitz(extents))
        extents = D.code_extents(extents)
    for c in STRENGTHS:
        below, unit = x[:BATCH], []
        for i, (atoms, step) in enumerate(zip(tensors, steps, strict=True)):
            seen = torch.nn.functional.conv2d(below, atoms, stride=stride if i == 0 else 1)
            unit.append((c * float(seen.flatten(1).amax(1).mean()), step))
            below = basis_pursuit(below, atoms, *unit[-1], n_steps, stride if i == 0 else 1)
        units.append(unit)

    def encoder(strengths, n):
        return lambda x: pooled(pursuit(x, tensors, strengths, n, stride))

    n = min(BATCH, len(x) // 2)
    tries, some, others = [], slice(n), slice(n, 2 * n)
    for strengths in units:
        model = classified([a[some] for a in train], [encoder(strengths, n_steps)])
        tries.append((model.scores(x[others]).argmax(1).numpy() == train[1][others]).mean())
    best = units[int(np.argmax(tries))]
    encoders = [encoder(best, n) for n in sorted({n_steps, 1}, reverse=True)]
    return classified(train, encoders)


def classified(train, encoders):
    """Logistic regression on the features of the first encoder; the second is what blind sees."""
    x, labels = train
    with torch.inference_mode():
        features = torch.cat([encoders[0](some) for some in torch.from_numpy(x).split(BATCH)])
    mean, scale = features.mean(0), features.std(0).clamp_min(1e-6)
    head = LogisticRegression(C=0.1, max_iter=2000).fit(((features - mean) / scale).numpy(), labels)
    W, b = (torch.from_numpy(a.astype("float32")) for a in (head.coef_, head.intercept_))
    scores = [partial(_scores, encode, mean, scale, W, b) for encode in encoders]
    return Model(*scores)


def _scores(encode, mean, scale, W, b, x):
    return ((encode(x) - mean) / scale) @ W.T + b


def network(train, n_atoms, side, stride, epochs=30):
    """A first layer with ReLU, means of quarters, a linear classifier: trained on the labels."""
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(1, n_atoms, side, stride=stride), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(4 * n_atoms, 10),
    )  # fmt: skip
    x, labels = (torch.from_numpy(a) for a in train)
    descent = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            descent.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), labels[batch]).backward()
            descent.step()
    return net.requires_grad_(False)


def from_photographs(n_atoms, side, seed):
    """Atoms of whitened patches."""
    whitened = [csc.images.whiten(p.pixels, variance=0.1) for p in csc.images.natural()]
    X = csc.images.extract_patches(whitened, (side, side), n=10_000, border=4, rng=seed)
    return (
        csc.DictionaryLearning(n_atoms, (side, side), 0.3, max_iter=4, random_state=seed)
        .fit(X)
        .atoms_
    )


def from_signals(x, n_atoms, side, seed, n=200):
    """Atoms of pictures, or of codes, learned by convolution with codes that are not negative."""
    penalty = csc.L1(csc.Relative(0.05), positive=True)
    learner = csc.DictionaryLearning(
        n_atoms, (side, side), penalty=penalty, batch_size=50, max_iter=4, random_state=seed
    )
    return csc.constraints.UnitSphere().project(learner.fit(x[:n]).atoms_)


def second_layer(x, atoms, args, stride, seed):
    """Atoms of 3x3 on the codes of a first layer."""
    D, penalty = csc.Dictionary(atoms, stride=stride), csc.L1(csc.Relative(0.05), positive=True)
    codes = csc.solve(csc.Problem(x[:200], D, penalty), tol=1e-3).codes
    return from_signals(codes, args.atoms, 3, seed).astype("float32")


def scattering(extents):
    """Features of scattering; None without kymatio."""
    try:
        from kymatio.scattering2d.frontend.torch_frontend import ScatteringTorch2D
    except ImportError:
        return None
    transform = ScatteringTorch2D(2 if min(extents) >= 16 else 1, extents)
    return lambda x: pooled([transform(x[:, 0].contiguous())])
