"""The pursuits of `csc` as PyTorch programs of fixed length, for gradients through the solver.

Every step is one of `csc.solvers.FISTA` or `csc.solvers.MLFISTA` without restarts, from zero, with the same step
sizes; the tests hold them together. Codes are not negative, so one step is a layer with ReLU.
"""

import torch
from torch.nn.functional import adaptive_avg_pool2d, conv2d, conv_transpose2d


def basis_pursuit(x, atoms, lmbda, step_size, n_steps, stride=1):
    """Codes of one layer by ``n_steps`` of FISTA; one step is layered thresholding."""
    z = y = torch.zeros_like(conv2d(x, atoms, stride=stride))
    t = 1.0
    for _ in range(n_steps):
        rest = x - conv_transpose2d(y, atoms, stride=stride, output_padding=_left(x, atoms, stride))
        z_old, z = z, torch.relu(y + step_size * (conv2d(rest, atoms, stride=stride) - lmbda))
        t_old, t = t, (1 + (1 + 4 * t * t) ** 0.5) / 2
        y = z + (t_old - 1) / t * (z - z_old)
    return z


def ml_fista(x, layers, lmbdas, step_sizes, n_steps, stride=1):
    """Codes of all layers by ``n_steps`` of ML-FISTA; strides are those of the first layer."""
    strides = [stride] + [1] * (len(layers) - 1)
    shapes = [x]
    for atoms, t in zip(layers, strides, strict=True):
        shapes.append(torch.zeros_like(conv2d(shapes[-1], atoms, stride=t)))
    codes, deepest = shapes[1:], shapes[-1]
    y, t = deepest, 1.0
    for _ in range(n_steps):
        chain = [y]
        for i in range(len(layers) - 1, -1, -1):
            left = _left(shapes[i], layers[i], strides[i])
            chain.append(conv_transpose2d(chain[-1], layers[i], stride=strides[i],
                                          output_padding=left))  # fmt: skip
        chain, below, product, codes = chain[::-1], x, 1.0, []
        for i, (atoms, lmbda, mu) in enumerate(zip(layers, lmbdas, step_sizes, strict=True)):
            product *= mu
            pushed = chain[i + 1] + mu * conv2d(below - chain[i], atoms, stride=strides[i])
            below = torch.relu(pushed - product * lmbda)
            codes.append(below)
        t_old, t = t, (1 + (1 + 4 * t * t) ** 0.5) / 2
        y, deepest = below + (t_old - 1) / t * (below - deepest), below
    return codes


def _left(x, atoms, stride):
    """Samples that a stride leaves uncovered at the end of each axis."""
    return tuple((n - m) % stride for n, m in zip(x.shape[2:], atoms.shape[2:], strict=True))


def pooled(codes, cells=2):
    """Mean codes in ``cells`` x ``cells`` parts of the picture, all layers side by side."""
    return torch.cat([adaptive_avg_pool2d(z, cells).flatten(1) for z in codes], dim=1)


def attacked(x, labels, scores, radius, *, n_steps=20):
    """Pictures moved by at most ``radius`` (Euclidean), in [0, 1], to raise the loss of ``scores``.

    Projected gradient ascent, A. Madry et al., "Towards deep learning models resistant to
    adversarial attacks", ICLR 2018. ``scores`` is differentiated as it stands.
    """
    move = torch.zeros_like(x)
    for _ in range(n_steps):
        move.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(scores(x + move), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, move)
        with torch.no_grad():
            step = slope / _norms(slope).clamp_min(1e-12)
            move = move + 2.5 * radius / n_steps * step
            move = move * (radius / _norms(move).clamp_min(1e-12)).clamp_max(1)
            move = (x + move).clamp(0, 1) - x
    return x + move


def _norms(x):
    return x.flatten(1).norm(dim=1)[:, None, None, None]
