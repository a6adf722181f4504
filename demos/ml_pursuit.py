"""Pursuits of several layers: which finds the codes of all layers, how fast, with how much noise.

Signals that obey the multi-layer model exactly, so that the codes are known, in three experiments.

Layers: a convolutional cascade whose second kernels have three non-zeros, so that both layers are
sparse. Noise of several strengths; the error of each layer's codes by layered thresholding (a
network's forward pass) and layered basis pursuit [1], which go up layer by layer, and by projection
pursuit [2], multi-layer basis pursuit [3] (ML-FISTA and ADMM) and holistic pursuit [4], which
explain the signal by the deepest codes. Strengths are tuned on other draws, method by method;
projection pursuit is told the number of codes, holistic pursuit that of zeros.

Convergence: the objective of multi-layer basis pursuit above its minimum, for ML-ISTA and ML-FISTA
with steps of 1, 0.1 and 0.01 of the safe one, and for ADMM, on Gaussian matrices of 50 x 70 and
70 x 60, as in [3].

Zeros: what the zeros of the mid layer are worth. Gaussian matrices of 50 x 100 and 100 x 50, codes
in the null space of some rows of the second [4], 25 dB; the lasso on the product (whose
back-substitution is the projection) against holistic pursuit, both with the lmbda that leaves a
residual of the noise's energy, and least squares that know the support, or support and zeros.

Writes ``ml_pursuit.png`` and ``ml_pursuit.json``.

[1] V. Papyan, Y. Romano, M. Elad, JMLR 18, 2017.
[2] J. Sulam, V. Papyan, Y. Romano, M. Elad, IEEE TSP 66(15), 2018.
[3] J. Sulam, A. Aberdam, A. Beck, M. Elad, IEEE TPAMI 42(8), 2020.
[4] A. Aberdam, J. Sulam, M. Elad, SIAM J. Math. Data Sci. 1(1), 2019.
"""

import argparse
from pathlib import Path

import numpy as np

from demos._arguments import integer, number, output_folder
from demos._figures import new_figure, save_results
from demos._pursuits_by_layer import METHODS, by_layer
from demos._pursuits_of_zeros import CASES, ESTIMATES, convergence, zeros_of_the_mid_layer


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.ml_pursuit", description=__doc__)
    parser.add_argument("--trials", type=integer(1), default=20, help="signals at each point (20)")
    parser.add_argument(
        "--snr", type=number(-50, 200), nargs="+", default=[5, 15, 25, 35], help="in dB"
    )
    parser.add_argument(
        "--zeros", type=integer(1, 10), nargs="+", default=[1, 4, 7, 10], help="1 to 10"
    )
    parser.add_argument(
        "--steps", type=integer(1), default=4000, help="of ML-ISTA and ML-FISTA (4000)"
    )
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    return parser.parse_args(argv)


def draw(layers, curves, zeros):
    figure = new_figure(14, 8)
    axes = figure.subplots(2, 3)
    for layer in (0, 1):
        for name in METHODS:
            own = [row for row in layers if row["method"] == name]
            points = [row["snr_dB"] for row in own], [row["median_dB"][layer] for row in own]
            axes[layer, 0].plot(*points, "o-", label=name)
        axes[layer, 0].set(xlabel="SNR in dB", ylabel=f"median error of layer {layer + 1} in dB")
    axes[0, 0].legend(fontsize=8)
    for row, label in ((0, "steps"), (1, "seconds")):
        for name, curve in curves.items():
            style = ":" if "ISTA" in name and "F" not in name else "-"
            axes[row, 1].loglog([p[row] for p in curve], [max(p[2], 1e-12) for p in curve], style,
                                label=name)  # fmt: skip
        axes[row, 1].set(xlabel=label, ylabel="objective above its minimum, relative")
    axes[0, 1].legend(fontsize=8)
    for ax, case in zip(axes[:, 2], CASES, strict=True):
        own = [row for row in zeros if (row["n_nonzero"], row["snr_dB"]) == case]
        for name in ESTIMATES:
            known = "k-." if "zeros" in name else "k--"
            style = known if "known" in name else "s:" if "," in name else "o-"
            ax.plot([r["zeros"] for r in own], [r[name]["median_dB"] for r in own], style,
                    label=name)  # fmt: skip
        ax.set(
            xlabel="zeros of the mid layer; {} codes, {} dB".format(*case),
            ylabel="median error in dB",
        )
    axes[0, 2].margins(y=0.25)  # room for the names
    axes[0, 2].legend(fontsize=8, ncols=2, loc="upper left")
    return figure


def main(argv=None):
    args, rng = parse_arguments(argv), np.random.default_rng(0)
    layers = by_layer(args.snr, args.trials, rng)
    curves = convergence(args.steps, rng)
    zeros = zeros_of_the_mid_layer(args.zeros, args.trials, rng)
    for row in layers:
        shown = "  ".join(f"{e:6.1f}" for e in row["median_dB"] + row["mean_dB"])
        print(f"SNR {row['snr_dB']:4g} dB  {row['method']:22} median and mean error in dB  {shown}")
    for name, curve in curves.items():
        print(f"{name:14} {curve[-1][2]:.1e} above the minimum after {curve[-1][0]} steps, "
              f"{curve[-1][1]:.2f} s")  # fmt: skip
    for row in zeros:
        shown = "  ".join(f"{name} {row[name]['median_dB']:.1f}" for name in ESTIMATES)
        print(
            f"{row['snr_dB']} dB, {row['n_nonzero']} codes, {row['zeros']} zeros "
            f"({row['true']:.0%} found), errors in dB  {shown}"
        )
    numbers = {"layers": layers, "convergence": curves, "zeros": zeros}
    save_results(draw(layers, curves, zeros), numbers, args.out, "ml_pursuit")
    return numbers


if __name__ == "__main__":
    main()
