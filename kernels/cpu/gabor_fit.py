"""Gabor functions and their bounded least-squares fit by variable projection.

The parameters are p = (x, y, orientation, frequency, log sigma_x, log sigma_y), with the centre in
pixels from the middle of the patch. The two amplitudes, of the cosine and of the sine wave, enter
linearly: they are solved for at every p, so the search runs over these six numbers only.
"""

from math import cos, exp, log, pi, sin, sqrt
from typing import NamedTuple

import numpy as np

from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.threads import in_batches

NYQUIST_FREQUENCY = 0.5  # cycles per pixel along either axis
# Keeps the Gram matrix invertible when the sine or the cosine wave vanishes.
GRAM_REGULARIZATION = 1e-10
MANTISSA_BITS = 52  # of a float64; above them stand the bits of the exponent, which is 1023 for 1.0
EXPONENT_OF_ONE = 1023
ROUNDING_SHIFT = 1.5 * 2.0**MANTISSA_BITS  # a sum with it is rounded to a whole number
INVERSE_LOG_2 = 1 / log(2)
LOG_2_HIGH = float.fromhex("0x1.62e42feep-1")  # few bits: its products with k are exact
LOG_2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
MIN_ENERGY_DECREASE = 1e-9  # relative to an atom's energy of 1: a smaller decrease stops the search


class _Work(NamedTuple):
    """What a thread computes with, for one atom of n pixels."""

    columns: np.ndarray  # (2, width)  the waves along the first row
    pair: np.ndarray  # (2, n)  the cosine and the sine wave
    derivative: np.ndarray  # (6, n)
    residual: np.ndarray
    inverse_gram: np.ndarray  # of the pair
    on_pair: np.ndarray  # (6, 2)  products of derivatives with the pair
    hessian: np.ndarray
    matrix: np.ndarray  # (6, 6)  of the damped step
    amplitude: np.ndarray
    gradient: np.ndarray
    trial: np.ndarray  # the next point


@inner(fastmath={"contract", "reassoc", "nsz"})
def dot(a, b):
    """Inner product."""
    total = 0.0
    for n in range(a.size):
        total += a[n] * b[n]
    return total


@inner(error_model="numpy", fastmath={"contract"})
def exponential(x):
    """``exp(x)`` of x <= 0, without branches, so that loops of it become vector instructions.

    With x = k log 2 + r, |r| <= log(2) / 2, it is 2^k times a Taylor polynomial of r: exact but for
    the last bit, and never less than ``exp(-708)``.
    """
    x = max(x, -708.0)
    shifted = x * INVERSE_LOG_2 + ROUNDING_SHIFT  # its last bits are those of the whole number k
    k = shifted - ROUNDING_SHIFT
    r = x - k * LOG_2_HIGH - k * LOG_2_LOW
    value = 1.0
    for n in range(13, 0, -1):
        value = 1 + value * r * (1 / n)
    power = (shifted.view(np.int64) + EXPONENT_OF_ONE) << MANTISSA_BITS
    return value * power.view(np.float64)


@inner(error_model="numpy", fastmath={"contract"})
def quadrature_pair(p, width, columns, out):
    """out[0], out[1] = the envelope times the cosine and the sine wave of point ``p``.

    The wave of a pixel is a product, e^(i omega u) = e^(i omega dx sine) e^(i omega dy cosine), with
    the first factors, of all columns, in ``columns``. Factors are turned on from pixel to pixel:
    sines and cosines took most of the time of a fit.
    """
    height = out.shape[1] // width
    # rows of their own, and unsigned indices: the loop over pixels becomes vector instructions
    even, odd, even_columns, odd_columns = out[0], out[1], columns[0], columns[1]
    left, top = -0.5 * (width - 1) - p[0], -0.5 * (height - 1) - p[1]
    sine, cosine, omega = sin(p[2]), cos(p[2]), 2 * pi * p[3]
    a, b = 0.5 * exp(-2 * p[4]), 0.5 * exp(-2 * p[5])
    real, imaginary = unit(omega * sine * left)
    turn_real, turn_imaginary = unit(omega * sine)
    for j in range(width):
        even_columns[j], odd_columns[j] = real, imaginary
        real, imaginary = product(turn_real, turn_imaginary, real, imaginary)
    real, imaginary = unit(omega * cosine * top)
    turn_real, turn_imaginary = unit(omega * cosine)
    for i in range(height):
        dy, row = i + top, np.uint64(i * width)
        for j in range(np.uint64(width)):
            dx = j + left
            u, v = dx * sine + dy * cosine, dy * sine - dx * cosine  # across and along the bars
            envelope = exponential(-a * u * u - b * v * v)
            x, y = product(real, imaginary, even_columns[j], odd_columns[j])
            even[row + j], odd[row + j] = envelope * x, envelope * y
        real, imaginary = product(turn_real, turn_imaginary, real, imaginary)


@inner(error_model="numpy")
def unit(angle):
    """Real and imaginary part of e^(i angle)."""
    return cos(angle), sin(angle)


@inner(error_model="numpy", fastmath={"contract"})
def product(a, b, c, d):
    """Real and imaginary part of (a + i b) (c + i d)."""
    return a * c - b * d, a * d + b * c


@inner(error_model="numpy")
def solve_amplitudes(pair, atom, inverse_gram, amplitude, residual):
    """Compute the least-squares amplitudes and the residual; returns its squared norm."""
    even, odd = pair[0], pair[1]
    ee, eo, oo = dot(even, even), dot(even, odd), dot(odd, odd)
    regularization = GRAM_REGULARIZATION * (ee + oo)
    det = (ee + regularization) * (oo + regularization) - eo * eo
    inverse_gram[0, 0], inverse_gram[1, 1] = (
        (oo + regularization) / det,
        (ee + regularization) / det,
    )
    inverse_gram[0, 1] = inverse_gram[1, 0] = -eo / det
    on_even, on_odd = dot(even, atom), dot(odd, atom)
    amplitude[0] = inverse_gram[0, 0] * on_even + inverse_gram[0, 1] * on_odd
    amplitude[1] = inverse_gram[1, 0] * on_even + inverse_gram[1, 1] * on_odd
    for n in range(atom.size):
        residual[n] = atom[n] - amplitude[0] * even[n] - amplitude[1] * odd[n]
    return dot(residual, residual)


@inner(error_model="numpy", fastmath={"contract"})
def derivatives(p, width, pair, amplitude, out):
    """out[k] = derivative of the Gabor by p[k], its amplitudes held."""
    height = pair.shape[1] // width
    even, odd, on_even, on_odd = pair[0], pair[1], amplitude[0], amplitude[1]
    to_x, to_y, to_angle, to_frequency = out[0], out[1], out[2], out[3]
    to_log_sigma_x, to_log_sigma_y = out[4], out[5]
    left, top = -0.5 * (width - 1) - p[0], -0.5 * (height - 1) - p[1]
    sine, cosine, omega = sin(p[2]), cos(p[2]), 2 * pi * p[3]
    a, b = exp(-2 * p[4]), exp(-2 * p[5])
    for i in range(height):
        dy, row = i + top, np.uint64(i * width)
        for j in range(np.uint64(width)):
            n, dx = row + j, j + left
            u, v = dx * sine + dy * cosine, dy * sine - dx * cosine
            g = on_even * even[n] + on_odd * odd[n]
            turned = on_odd * even[n] - on_even * odd[n]
            g_u, g_v = omega * turned - a * u * g, -b * v * g
            to_x[n], to_y[n] = g_v * cosine - g_u * sine, -g_u * cosine - g_v * sine
            to_angle[n], to_frequency[n] = g_v * u - g_u * v, 2 * pi * u * turned
            to_log_sigma_x[n], to_log_sigma_y[n] = a * u * u * g, b * v * v * g


@inner(error_model="numpy")
def normal_equations(work):
    """Gauss-Newton matrix and J^T r of the projected residual, in Kaufman's approximation.

    With d the derivatives, P the projector off the pair and r the residual: hessian = d^T P d
    (its lower triangle) and gradient = d^T r.
    """
    _, pair, derivative, residual, inverse_gram, on_pair, hessian, _, _, gradient, _ = work
    for k in range(6):
        gradient[k] = dot(derivative[k], residual)
        on_pair[k, 0], on_pair[k, 1] = dot(derivative[k], pair[0]), dot(derivative[k], pair[1])
        for m in range(k + 1):
            hessian[k, m] = dot(derivative[k], derivative[m])
            for s in range(2):
                for t in range(2):
                    hessian[k, m] -= on_pair[k, s] * inverse_gram[s, t] * on_pair[m, t]


@inner(error_model="numpy")
def highest_frequency(orientation):
    """The frequency at which a wave of this orientation reaches Nyquist along x or y."""
    return NYQUIST_FREQUENCY / max(abs(sin(orientation)), abs(cos(orientation)))


@inner(error_model="numpy")
def solve_positive(matrix, x):
    """Solve matrix x' = x in place by Cholesky factors; overwrites both arguments."""
    n = x.size
    for k in range(n):
        for m in range(k + 1):
            total = matrix[k, m]
            for t in range(m):
                total -= matrix[k, t] * matrix[m, t]
            if m == k:  # rounding can make the diagonal zero or negative
                matrix[k, k] = sqrt(max(total, 1e-14 * matrix[k, k]))
            else:
                matrix[k, m] = total / matrix[m, m]
    for k in range(n):
        for t in range(k):
            x[k] -= matrix[k, t] * x[t]
        x[k] /= matrix[k, k]
    for k in range(n - 1, -1, -1):
        for t in range(k + 1, n):
            x[k] -= matrix[t, k] * x[t]
        x[k] /= matrix[k, k]


@inner(error_model="numpy")
def damped_step(p, box, hessian, gradient, damping, matrix, out):
    """out = p + (hessian + damping diag(hessian))^-1 gradient, clipped to the box.

    A parameter at its bound stays there if its gradient points outwards.
    """
    for k in range(6):
        top = min(box[1, k], highest_frequency(p[2])) if k == 3 else box[1, k]
        blocked = (p[k] >= top and gradient[k] > 0) or (p[k] <= box[0, k] and gradient[k] < 0)
        out[k] = 0.0 if blocked else gradient[k]
        for m in range(k):
            matrix[k, m] = hessian[k, m]
            if blocked or out[m] == 0:
                matrix[k, m] = 0.0
        matrix[k, k] = max(hessian[k, k], 1e-100) * (1 + damping)
    solve_positive(matrix, out)
    for k in range(6):
        out[k] = min(max(p[k] + out[k], box[0, k]), box[1, k])
    out[3] = min(out[3], highest_frequency(out[2]))


@inner(error_model="numpy")
def copy(a, out):
    """out = a, of one axis."""
    for k in range(a.size):
        out[k] = a[k]


@inner(error_model="numpy")
def descend(p, atom, width, box, n_trials, work, best_amplitude):
    """Levenberg-Marquardt from ``p``, which moves to a minimum; returns ||atom - Gabor||^2."""
    amplitude, gradient, trial = work.amplitude, work.gradient, work.trial
    copy(p, trial)
    min_misfit, damping = np.inf, 1e-2
    for _ in range(n_trials):
        quadrature_pair(trial, width, work.columns, work.pair)
        misfit = solve_amplitudes(work.pair, atom, work.inverse_gram, amplitude, work.residual)
        decrease = min_misfit - misfit
        if decrease > 0:
            min_misfit = misfit
            copy(trial, p)  # p[:] = trial takes three seconds to compile
            copy(amplitude, best_amplitude)
            derivatives(p, width, work.pair, amplitude, work.derivative)
            normal_equations(work)
        damping *= 0.2 if decrease > 0 else 4.0
        if 0 < decrease <= MIN_ENERGY_DECREASE or damping > 1e6:
            break
        damped_step(p, box, work.hessian, gradient, damping, work.matrix, trial)
    return min_misfit


def fit_gabors(atoms, width, box, n_trials, points, amplitudes, misfits):
    """Fit a Gabor function to every atom k from every start s, ``points[k, s]``, in place.

    The atoms are flat, ``width`` pixels a row, and have unit norm or are zero; ``box`` holds the
    lowest and the highest point; amplitudes[k, s] belong to the cosine and the sine.
    """

    def scratch():
        n = atoms.shape[1]
        shapes = (2, width), (2, n), (6, n), n, (2, 2), (6, 2), (6, 6), (6, 6), 2, 6, 6
        return (_Work(*map(np.empty, shapes)),)

    in_batches(
        _fit, misfits.size, atoms, width, box, n_trials, points, amplitudes, misfits,
        min_batch=1, scratch=scratch,
    )  # fmt: skip


@entry(error_model="numpy")
def _fit(start, stop, atoms, width, box, n_trials, points, amplitudes, misfits, work):
    n_starts = points.shape[1]
    for t in range(start, stop):
        k, s = t // n_starts, t % n_starts
        misfits[k, s] = descend(
            points[k, s], atoms[k], width, box, n_trials, work, amplitudes[k, s]
        )
