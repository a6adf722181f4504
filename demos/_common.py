"""What several demos do alike: a photograph, atoms learned from others, files written whole."""

import json
import os
from importlib.util import find_spec

import numpy as np
from scipy import ndimage

import csc

if find_spec("matplotlib") is None:
    raise SystemExit("the demos draw with matplotlib; install it: pip install 'mlcsc[demos]'")


def crop(side, index=0):
    """A square from the middle of a bundled photograph, float32 in [0, 1]."""
    pixels = csc.images.natural()[index].pixels
    rows, columns = (max(0, n // 2 - side // 2) for n in pixels.shape)
    return np.ascontiguousarray(pixels[rows : rows + side, columns : columns + side], "float32")


def high_pass(pixels, sigma):
    """What a Gaussian of that width leaves."""
    return pixels - ndimage.gaussian_filter(pixels, sigma)


def learn_atoms(n_atoms, side, sigma, *, without=None, lmbda=1.0):
    """Atoms ``(K, 1, side, side)`` learned from high-passed photographs, but for one."""
    photographs = [p.pixels for i, p in enumerate(csc.images.natural()) if i != without]
    details = [high_pass(pixels, sigma) for pixels in photographs]
    X = csc.images.extract_patches(details, (side, side), n=20_000, rng=0)
    X = (X / X.std()).astype("float32")
    learner = csc.DictionaryLearning(n_atoms, (side, side), lmbda, max_iter=5, random_state=0)
    return csc.constraints.UnitSphere().project(learner.fit(X).atoms_)


def psnr(truth, estimate):
    """Peak signal-to-noise ratio in dB, of pixels in [0, 1]."""
    return float(-10 * np.log10(((truth - estimate) ** 2).mean(dtype="float64")))


def blank(width, height):
    """An empty figure, in inches, whose lines and bars colour-blind eyes can tell apart."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["axes.prop_cycle"] = mpl.cycler(color=csc.plot.PALETTE)
    return Figure(figsize=(width, height), layout="constrained")


def draw(figure, out, name):
    """Write ``name.png``, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f"{name}.part"
    figure.savefig(partial, format="png", dpi=100)
    os.replace(partial, out / f"{name}.png")


def write(figure, numbers, out, name):
    """Write ``name.png`` and ``name.json``, each whole or not at all."""
    draw(figure, out, name)
    partial = out / f"{name}.part"
    partial.write_text(json.dumps(numbers, indent=1))
    os.replace(partial, out / f"{name}.json")
    print(f"picture: {out / name}.png\nnumbers: {out / name}.json")
