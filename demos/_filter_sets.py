"""The sets of filters that `demos.cnn_first_layer` puts side by side."""

import numpy as np

import csc
from demos import _pretext

LMBDA = {"patches": 0.5, "convolutional": 0.7}  # of one channel; noise of C has sqrt(C) the norm
CHROMA = 0.2  # cycles per pixel: JPEG and colour sensors know hue at half the resolution of light


def whitened(colour):
    """Photographs ``(C, H, W)`` of flat spectrum and mean variance 0.1."""
    pictures = [p.pixels for p in csc.images.natural(colour=colour)]
    if colour:
        return _colour_whitened(pictures)
    return [csc.images.whiten(p[None], variance=0.1) for p in pictures]


def _colour_whitened(pictures):
    """Red, green and blue uncorrelated and of one variance; hue only as far as it was recorded."""
    pictures = [p / csc.images.whiten(p).std() for p in pictures]
    axes = np.linalg.eigh(_covariance(map(csc.images.whiten, pictures)))[1]  # light comes last
    parts = [np.tensordot(axes.T.astype("float32"), p, 1) for p in pictures]
    parts = [
        np.concatenate([csc.images.whiten(p[:2], CHROMA), csc.images.whiten(p[2:])]) for p in parts
    ]
    values, own = np.linalg.eigh(_covariance(parts))
    turn = np.sqrt(0.1) * axes @ (own / np.sqrt(values)) @ own.T
    return [np.tensordot(turn, p, 1).astype("float32") for p in parts]


def _covariance(pictures):
    return np.cov(np.concatenate([p.reshape(3, -1) for p in pictures], axis=1).astype("float64"))


def learned(args, *, convolutional, colour):
    """Atoms from patches, or by convolution from the middles of the photographs."""
    pictures, side = whitened(colour), (args.side, args.side)
    kind = "convolutional" if convolutional else "patches"
    name = f"{kind}, {'colour' if colour else 'grey'}"
    lmbda = LMBDA[kind] * len(pictures[0]) ** 0.5
    common = {"lmbda": lmbda, "random_state": args.seed, "tol": 0}
    if convolutional:
        learner = csc.DictionaryLearning(
            args.atoms // 2, side, batch_size=None, max_iter=args.passes, recentre_every=5,
            **common,
        ).fit([middle(p, args.window) for p in pictures])  # fmt: skip
    else:
        X = csc.images.extract_patches(pictures, side, n=args.patches, border=4, rng=args.seed)
        learner = csc.DictionaryLearning(args.atoms, side, max_iter=args.epochs, **common)
        learner.fit(X)
    passes = np.array([step.objective for step in learner.history_]).reshape(learner.n_iter_, -1)
    fell = 1 - passes.mean(axis=1)[-5:].min() / passes.mean(axis=1)[-5:].max()
    print(f"{name}: the objective fell by {fell:.1%} in the last five passes")
    return {name: learner.atoms_}


def middle(picture, side):
    """A square of at most ``side`` pixels from the middle of a picture ``(C, H, W)``."""
    corners = [max(0, (n - side) // 2) for n in picture.shape[1:]]
    rows, columns = (slice(at, at + side) for at in corners)
    return np.ascontiguousarray(picture[:, rows, columns])


def pretext(args):
    """The first layer of the small network, trained and not."""
    try:
        after, before, known = _pretext.first_layers(args.steps, seed=args.seed)
    except ImportError as error:
        raise ImportError("the small network needs PyTorch: pip install 'mlcsc[torch]'") from error
    print(f"small network: knows the place of {known:.0%} of the crops, of 400 places")
    return {"small CNN, trained here": after, "small CNN, untrained": before}


def morlets(side=15, scales=3, angles=8):
    """Real and imaginary parts of the wavelets of scattering, cut out where they live."""
    try:
        from kymatio.scattering2d.filter_bank import morlet_2d
    except ImportError as error:
        raise ImportError("Morlet wavelets need kymatio: pip install kymatio") from error
    canvas, half = 4 * side, side // 2
    waves = [
        morlet_2d(canvas, canvas, 0.8 * 2**j, k * np.pi / angles, 0.75 * np.pi / 2**j, 4 / angles)
        for j in range(scales)
        for k in range(angles)
    ]
    middle = [np.roll(wave, (half, half), (0, 1))[:side, :side] for wave in waves]
    parts = [part for wave in middle for part in (wave.real, wave.imag)]
    return {"Morlets of scattering": np.array(parts)[:, None]}
