"""Denoising by a small strided network of the kind of CSCNet, trained on photographs.

The network is LISTA with a stride, an output dictionary of its own, and averages over the shifts of
the grid (D. Simon, M. Elad, NeurIPS 2019). Its atoms start from those that csc learns from the same
photographs without noise. The photograph that is restored is not among them.
"""

from importlib.util import find_spec
from time import perf_counter

import numpy as np
import torch
from torch import nn

import csc
from demos._photographs import crop, high_pass, psnr

SIDE, N_ATOMS, STRIDE, N_STEPS = 8, 64, 4, 6
CROP, BATCH = 40, 16
HIGH_PASS_SIGMA = 3.0
FIRST_LMBDA = 1.5  # in units of the noise


class Denoiser(nn.Module):
    """Strided codes of noisy images, and images from the codes by a second dictionary."""

    def __init__(self, D, sigma):
        super().__init__()
        self.coder = csc.nn.SparseCode(D, FIRST_LMBDA * sigma, N_STEPS, free_analysis=True)
        self.output = csc.nn.TrainableDictionary(D, unit_norm=False)

    @property
    def dictionary(self):
        """For `csc.nn.StridedShiftAverage`."""
        return self.coder.dictionary

    def reconstruct(self, x):
        """Images of the codes; means of images are left as they are."""
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        codes = self.coder(x - mean)
        return mean + self.output.synthesize(codes, x.shape[2:])


def first_atoms(photographs):
    """Atoms learned from high-passed patches, one of them constant."""
    details = [high_pass(pixels, HIGH_PASS_SIGMA) for pixels in photographs]
    x = csc.images.extract_patches(details, (SIDE, SIDE), n=20_000, rng=0)
    x = (x / x.std()).astype("float32")
    learner = csc.DictionaryLearning(N_ATOMS - 1, (SIDE, SIDE), 0.5, max_iter=3, random_state=0)
    atoms = np.concatenate([learner.fit(x).atoms_, np.ones((1, 1, SIDE, SIDE), "float32")])
    return csc.Dictionary(csc.constraints.UnitSphere().project(atoms), "full", STRIDE)


def random_crops(photographs, n, rng):
    """Square crops, turned and mirrored at random."""
    crops = []
    for _ in range(n):
        pixels = photographs[rng.integers(len(photographs))]
        top, left = (rng.integers(0, size - CROP + 1) for size in pixels.shape)
        one = np.rot90(pixels[top : top + CROP, left : left + CROP], rng.integers(4))
        crops.append(one[:, ::-1] if rng.integers(2) else one)
    return torch.from_numpy(np.stack(crops)[:, None].astype("float32"))


def train(network, photographs, sigma, n_updates, rng):
    """Mean squared error of the inner pixels of denoised crops, by Adam."""
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_updates)
    inner = slice(SIDE - STRIDE, STRIDE - SIDE)  # covered by as many atoms as in a large image
    for _ in range(n_updates):
        clean = random_crops(photographs, BATCH, rng)
        estimate = network.reconstruct(clean + sigma * torch.randn_like(clean))
        loss = ((estimate - clean)[..., inner, inner] ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def trained_denoiser(sigma, side, index, n_updates):
    """PSNR and seconds of all methods on one photograph, and their images."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    truth = crop(side, index)
    noisy = (truth + sigma * rng.standard_normal(truth.shape)).astype("float32")
    photographs = [p.pixels for i, p in enumerate(csc.images.natural()) if i != index]
    network = Denoiser(first_atoms(photographs), sigma)
    average = csc.nn.StridedShiftAverage(network, margin=SIDE - STRIDE)

    def denoise(x):
        with torch.no_grad():
            return average(torch.from_numpy(x)[None, None])[0, 0].numpy()

    before = denoise(noisy)
    start = perf_counter()
    train(network, photographs, sigma, n_updates, rng)
    training_seconds = perf_counter() - start
    methods = {
        "trained network": denoise,
        "csc.restoration, best": lambda x: csc.restoration.denoise(x, sigma).image,
        "csc.restoration, fast": lambda x: csc.restoration.denoise(x, sigma, quality="fast").image,
    }
    if find_spec("bm3d"):
        from bm3d import bm3d

        methods["BM3D"] = lambda x: bm3d(x, sigma)
    images, seconds = {"noisy": noisy, "network before training": before}, {}
    for name, method in methods.items():
        start = perf_counter()
        images[name] = method(noisy)
        seconds[name] = perf_counter() - start
    scores = {name: psnr(truth, np.clip(image, 0, 1)) for name, image in images.items()}
    n_parameters = sum(p.numel() for p in network.parameters())
    results = {
        "psnr_dB": scores, "seconds": seconds, "training_seconds": training_seconds,
        "parameters": n_parameters,
    }  # fmt: skip
    atoms = network.output.to_dictionary().atoms
    return results, {"truth": truth, **images}, atoms
