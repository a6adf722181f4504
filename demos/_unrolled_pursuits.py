"""Pursuits of `csc` unrolled in PyTorch, for gradients through the solver.

A fixed number of iterations of `csc.solvers.FISTA` or `csc.solvers.MLFISTA` from zero codes, without
restarts and with the same step sizes; the tests compare them with `csc`. Codes are non-negative, so
one iteration is a convolution followed by a ReLU.
"""

import torch
from torch.nn.functional import adaptive_avg_pool2d, conv2d, conv_transpose2d


def basis_pursuit(x, atoms, lmbda, step_size, n_steps, stride=1):
    """Return codes of one layer after ``n_steps`` of FISTA; one step is layered thresholding."""
    z = y = torch.zeros_like(conv2d(x, atoms, stride=stride))
    t = 1.0
    padding = _output_padding(x, atoms, stride)
    for _ in range(n_steps):
        residual = x - conv_transpose2d(y, atoms, stride=stride, output_padding=padding)
        z_old, z = z, torch.relu(y + step_size * (conv2d(residual, atoms, stride=stride) - lmbda))
        t_old, t = t, (1 + (1 + 4 * t * t) ** 0.5) / 2
        y = z + (t_old - 1) / t * (z - z_old)
    return z


def ml_fista(x, layers, lmbdas, step_sizes, n_steps, stride=1):
    """Return codes of all layers after ``n_steps`` of ML-FISTA; only the first layer is strided."""
    strides = [stride] + [1] * (len(layers) - 1)
    zeros = [x]  # only the shapes matter
    for atoms, layer_stride in zip(layers, strides, strict=True):
        zeros.append(torch.zeros_like(conv2d(zeros[-1], atoms, stride=layer_stride)))
    codes, deepest = zeros[1:], zeros[-1]
    y, t = deepest, 1.0
    for _ in range(n_steps):
        syntheses = [y]
        for i in range(len(layers) - 1, -1, -1):
            padding = _output_padding(zeros[i], layers[i], strides[i])
            syntheses.append(conv_transpose2d(syntheses[-1], layers[i], stride=strides[i],
                                              output_padding=padding))  # fmt: skip
        syntheses, below, product, codes = syntheses[::-1], x, 1.0, []
        for i, (atoms, lmbda, mu) in enumerate(zip(layers, lmbdas, step_sizes, strict=True)):
            product *= mu
            correlation = conv2d(below - syntheses[i], atoms, stride=strides[i])
            below = torch.relu(syntheses[i + 1] + mu * correlation - product * lmbda)
            codes.append(below)
        t_old, t = t, (1 + (1 + 4 * t * t) ** 0.5) / 2
        y, deepest = below + (t_old - 1) / t * (below - deepest), below
    return codes


def _output_padding(x, atoms, stride):
    """Return the samples at the end of each axis that a strided convolution does not reach."""
    return tuple((n - m) % stride for n, m in zip(x.shape[2:], atoms.shape[2:], strict=True))


def pool(codes, n_cells=2):
    """Return mean codes in ``n_cells`` x ``n_cells`` parts of the picture, layers concatenated."""
    return torch.cat([adaptive_avg_pool2d(z, n_cells).flatten(1) for z in codes], dim=1)


def attack(x, labels, scores, radius, *, n_steps=20):
    """Change pictures in [0, 1] by at most ``radius`` (Euclidean) to raise the loss of ``scores``.

    Projected gradient ascent, A. Madry et al., "Towards deep learning models resistant to
    adversarial attacks", ICLR 2018, with the gradient through all operations of ``scores``.
    """
    change = torch.zeros_like(x)
    for _ in range(n_steps):
        change.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(scores(x + change), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, change)
        with torch.no_grad():
            direction = gradient / _norms(gradient).clamp_min(1e-12)
            change = change + 2.5 * radius / n_steps * direction
            change = change * (radius / _norms(change).clamp_min(1e-12)).clamp_max(1)
            change = (x + change).clamp(0, 1) - x
    return x + change


def _norms(x):
    return x.flatten(1).norm(dim=1)[:, None, None, None]
