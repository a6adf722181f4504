"""Gabor functions and their fit, transcribed: one pixel, one number, one atom at a time."""

import math

import numpy as np


def gabor(shape, *parameters):
    """The function that `csc.analysis.receptive_fields.GaborFit` documents, pixel by pixel."""
    x, y, orientation, frequency, sigma_x, sigma_y, phase, amplitude = parameters
    g = np.zeros(shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            right = column - (shape[1] - 1) / 2 - x
            down = row - (shape[0] - 1) / 2 - y
            across = right * math.sin(orientation) + down * math.cos(orientation)
            along = -right * math.cos(orientation) + down * math.sin(orientation)
            envelope = math.exp(-(across**2) / (2 * sigma_x**2) - along**2 / (2 * sigma_y**2))
            wave = math.cos(2 * math.pi * frequency * across + phase)
            g[row, column] = amplitude * envelope * wave
    return g


def quadrature_pair(p, shape):
    x, y, orientation, frequency, log_sigma_x, log_sigma_y = p
    sigmas = math.exp(log_sigma_x), math.exp(log_sigma_y)
    return np.array(
        [
            gabor(shape, x, y, orientation, frequency, *sigmas, phase, 1)
            for phase in (0, -math.pi / 2)
        ]
    )


def fit_at(p, atom):
    """Least-squares amplitudes at p, and the residual."""
    pair = quadrature_pair(p, atom.shape).reshape(2, -1)
    amplitude = np.linalg.lstsq(pair.T, atom.ravel(), rcond=None)[0]
    return amplitude, atom.ravel() - amplitude @ pair


def misfit(p, atom):
    return np.sum(fit_at(p, atom)[1] ** 2)


def normal_equations(p, atom):
    """Kaufman's Gauss-Newton matrix and J^T r, the derivatives taken by differences."""
    amplitude, residual = fit_at(p, atom)
    h, steps = 1e-5, np.eye(6)
    d = np.array(
        [
            amplitude @ (quadrature_pair(p + h * e, atom.shape).reshape(2, -1))
            - amplitude @ (quadrature_pair(p - h * e, atom.shape).reshape(2, -1))
            for e in steps
        ]
    ) / (2 * h)
    q, _ = np.linalg.qr(quadrature_pair(p, atom.shape).reshape(2, -1).T)
    off_pair = d - (d @ q) @ q.T
    return off_pair @ off_pair.T, d @ residual


def highest_frequency(orientation):
    return 0.5 / max(abs(math.sin(orientation)), abs(math.cos(orientation)))


def damped_step(p, box, hessian, slope, damping):
    low, high = box[0], box[1].copy()
    high[3] = min(high[3], highest_frequency(p[2]))
    free = [
        k
        for k in range(6)
        if not (p[k] >= high[k] and slope[k] > 0 or p[k] <= low[k] and slope[k] < 0)
    ]
    step = np.zeros(6)
    damped = hessian + damping * np.diag(np.diag(hessian))
    step[free] = np.linalg.solve(damped[np.ix_(free, free)], slope[free])
    new = np.clip(p + step, box[0], box[1])
    new[3] = min(new[3], highest_frequency(new[2]))
    return new


def descend(p, atom, box, n_trials):
    """Levenberg-Marquardt: damping falls fivefold after a gain, grows fourfold after none."""
    damping, least, trial = 1e-2, np.inf, p
    for _ in range(n_trials):
        gain = least - misfit(trial, atom)
        if gain > 0:
            p, least = trial, least - gain if least < np.inf else misfit(trial, atom)
            hessian, slope = normal_equations(p, atom)
        damping *= 0.2 if gain > 0 else 4.0
        if 0 < gain <= 1e-9 or damping > 1e6:
            break
        trial = damped_step(p, box, hessian, slope, damping)
    return p, least


def fit_gabors(atoms, box, n_trials, points):
    """Descents from points[k, s]: where they end, their amplitudes and misfits."""
    ends, misfits = np.empty_like(points), np.empty(points.shape[:2])
    amplitudes = np.empty((*points.shape[:2], 2))
    for k, atom in enumerate(atoms):
        for s, p in enumerate(points[k]):
            ends[k, s], misfits[k, s] = descend(p, atom, box, n_trials)
            amplitudes[k, s] = fit_at(ends[k, s], atom)[0]
    return ends, amplitudes, misfits
