"""The sets of filters that `demos.cnn_first_layer` puts side by side."""

import numpy as np

import csc
from demos import _pretext

LMBDA = {"patches": 0.5, "convolutional": 0.5}
CROP = 64  # pixels of the windows that convolutional atoms are learned from


def whitened(colour):
    """Photographs ``(C, H, W)``, their spectrum flat, colours uncorrelated and of one variance."""
    pictures = [p.pixels for p in csc.images.natural(colour=colour)]
    pictures = [p if colour else p[None] for p in pictures]
    pictures = [csc.images.whiten(p, variance=0.1) for p in pictures]
    if not colour:
        return pictures
    pixels = np.concatenate([p.reshape(3, -1) for p in pictures], axis=1).astype("float64")
    values, axes = np.linalg.eigh(np.cov(pixels))
    turn = np.sqrt(0.1) * (axes / np.sqrt(values)) @ axes.T  # symmetric: red stays reddish
    return [np.tensordot(turn, p, 1).astype("float32") for p in pictures]


def learned(choices, *, convolutional, colour):
    """Atoms from patches, or by convolution."""
    pictures, side = whitened(colour), (choices.side, choices.side)
    kind = "convolutional" if convolutional else "patches"
    common = {"lmbda": LMBDA[kind], "random_state": choices.seed, "tol": 0}
    if convolutional:
        learner = csc.DictionaryLearning(
            choices.atoms // 2, side, batch_size=3, crop=(CROP, CROP),
            max_iter=7 * choices.epochs, recentre_every=10, **common,
        )  # fmt: skip
        learner.fit(pictures)
    else:
        X = csc.images.extract_patches(
            pictures, side, n=choices.patches, border=4, rng=choices.seed
        )
        learner = csc.DictionaryLearning(choices.atoms, side, max_iter=choices.epochs, **common)
        learner.fit(X)
    return {f"{kind}, {'colour' if colour else 'grey'}": learner.atoms_}


def pretext(choices):
    """The first layer of the small network, trained and not."""
    try:
        after, before, known = _pretext.first_layers(choices.steps, seed=choices.seed)
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
