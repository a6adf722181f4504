"""The peak of the spectrum of a Gabor function."""

import numpy as np

N_BISECTIONS = 60  # enough for the precision of float64


def peak_cycles(cycles, phase):
    """Frequency of the peak of the spectrum, times sigma_x.

    With lengths in units of sigma_x, the spectrum of exp(-u^2 / 2) cos(2 pi n u + phase) has, up to
    a factor, the energy

        exp(-4 pi^2 s^2) (cosh(8 pi^2 n s) + cos(2 phase))

    at frequency s. Its derivative has the sign of n F(8 pi^2 n s) - s with
    F(x) = sinh x / (cosh x + cos(2 phase)): positive below the peak and negative above. The
    function may be even without flanks; then the peak is at 0.

    Parameters
    ----------
    cycles : array (K,)
        n, the frequency of the wave times sigma_x; positive.
    phase : array (K,)

    Returns
    -------
    peak : array (K,)
        From 0 to n + 1 / (2 pi); 1 / (2 pi) for an odd phase and n close to 0.
    """
    n = np.asarray(cycles, dtype=np.float64)
    half_even = np.cos(phase) ** 2  # (1 + cos(2 phase)) / 2, without cancellation
    low, high = np.zeros_like(n), n + 1 / (2 * np.pi)
    for _ in range(N_BISECTIONS):
        s = (low + high) / 2
        x = 8 * np.pi**2 * n * s
        numerator = -np.expm1(-2 * x)  # F's numerator and denominator, times 2 exp(-x)
        denominator = np.expm1(-x) ** 2 + 4 * half_even * np.exp(-x)
        rising = n * numerator > s * denominator
        low, high = np.where(rising, s, low), np.where(rising, high, s)
    return np.where(low > 0, (low + high) / 2, 0.0)
