"""Complex signals, atoms and codes, compared with ISTA in complex arithmetic that shares no code."""

from itertools import product

import numpy as np
import pytest

import csc
from csc.operators import (
    channels_to_complex,
    codes_to_complex,
    complex_dictionary,
    complex_operator,
    complex_to_channels,
    complex_to_codes,
)
from csc.problems import complex_problem


def noise(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def dense(atoms, spatial_shape, stride):
    """D of mode "full" as a complex matrix, (C * prod(S), K * prod(V)), by its definition."""
    k, c, *s = atoms.shape
    positions = [
        range(0, big - small + 1, stride) for big, small in zip(spatial_shape, s, strict=True)
    ]
    columns = []
    for d in atoms:
        for corner in product(*positions):
            x = np.zeros((c, *spatial_shape), complex)
            own = tuple(slice(a, a + b) for a, b in zip(corner, s, strict=True))
            x[(slice(None), *own)] = d
            columns.append(x.ravel())
    return np.array(columns).T, (k, *map(len, positions))


def objective(A, x, z, lmbda, seen):
    return 0.5 * (seen * abs(x - A @ z) ** 2).sum() + lmbda * abs(z).sum()


def complex_fista(A, x, lmbda, seen, n_iter=4000):
    """Complex soft-thresholding: z max(1 - t / |z|, 0)."""
    step, z = 1 / np.linalg.norm(A, 2) ** 2, np.zeros(A.shape[1], complex)
    y, t = z, 1.0
    for _ in range(n_iter):
        u = y + step * A.conj().T @ (seen * (x - A @ y))
        new = u * np.maximum(1 - step * lmbda / np.maximum(abs(u), 1e-300), 0)
        t_next = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y, z, t = new + (t - 1) / t_next * (new - z), new, t_next
    return z


CASES = {  # K, C, s, S, stride, share observed
    "1-D": (3, 1, (4,), (15,), 1, 1.0),
    "one atom, channels, stride, holes": (1, 2, (3,), (12,), 2, 0.7),
    "patches": (4, 2, (5,), (5,), 1, 1.0),
    "2-D": (2, 1, (2, 3), (6, 7), 1, 0.8),
    "3-D": (2, 1, (2, 2, 1), (4, 3, 3), 1, 1.0),
}


@pytest.mark.parametrize("case", CASES)
def test_complex_codes_have_the_objective_of_complex_ista(case, rng):
    k, c, s, spatial_shape, stride, share = CASES[case]
    atoms, x = noise(rng, k, c, *s), noise(rng, 1, c, *spatial_shape)
    seen = rng.random(x.shape) < share
    problem = complex_problem(x, atoms, csc.Relative(0.2), seen, stride=stride)
    solution = csc.solve(problem, tol=1e-8, max_iter=20_000)
    A, code_shape = dense(atoms, spatial_shape, stride)
    lmbda, flat = problem.penalty.lmbda, (x.ravel(), seen.ravel())
    assert lmbda == pytest.approx(0.2 * abs(A.conj().T @ (flat[0] * flat[1])).max())
    z = codes_to_complex(solution.codes)
    assert z.shape == (1, *code_shape)
    ours = objective(A, flat[0], z.ravel(), lmbda, flat[1])
    assert ours == pytest.approx(solution.objective, rel=1e-12)
    best = objective(A, flat[0], complex_fista(A, *flat[:1], lmbda, flat[1]), lmbda, flat[1])
    assert ours == pytest.approx(best, rel=1e-6)
    assert 0 <= solution.gap <= 1e-8 * ours
    fit = channels_to_complex(solution.reconstruction())
    np.testing.assert_allclose(fit.ravel(), A @ z.ravel(), atol=1e-12)


def test_real_codes_of_complex_signals_are_a_problem_of_channels(rng):
    atoms, x, z = noise(rng, 3, 2, 4), noise(rng, 2, 2, 11), rng.standard_normal((2, 3, 8))
    D = csc.Dictionary(complex_to_channels(atoms))
    problem = csc.Problem(complex_to_channels(x), D, csc.L1(0.5))
    A, _ = dense(atoms, (11,), 1)
    expected = sum(
        objective(A, one.ravel(), own.ravel(), 0.5, 1) for one, own in zip(x, z, strict=True)
    )
    assert problem.value(z) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(channels_to_complex(complex_to_channels(x)), x)


def test_precision_layout_and_missing_parts(rng):
    atoms, x = noise(rng, 2, 1, 3), noise(rng, 3, 1, 9)
    x[0, 0, 2] = np.nan  # + 0j: the imaginary part is missing as well
    holes = np.isnan(x)
    expected = complex_problem(np.where(holes, 0, x), atoms, 0.5, ~holes)
    z = csc.solve(expected, tol=1e-8).codes
    masked = np.ma.masked_array(np.where(holes, 7, x), holes)
    for same in (x, masked, np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2]):
        problem = complex_problem(same, atoms, 0.5)
        assert problem.value(z) == pytest.approx(expected.value(z), rel=1e-12)
    small = complex_problem(x.astype("complex64"), atoms.astype("complex64"), 0.5)
    again = csc.solve(small, init=z.astype("float32"))
    assert codes_to_complex(again.codes).dtype == "complex64"
    assert again.objective == pytest.approx(expected.value(z), rel=1e-4)
    assert complex_dictionary(np.ones((1, 1, 2), "float32")).dtype == "float32"
    z = codes_to_complex(z)
    np.testing.assert_array_equal(codes_to_complex(complex_to_codes(z)), z)


def test_a_list_of_atoms_of_several_sizes(rng):
    x, atoms = noise(rng, 1, 1, 9), [noise(rng, 1, 1, 3), noise(rng, 2, 1, 5)]
    whole = np.zeros((3, 1, 5), complex)
    whole[:1, :, :3], whole[1:] = atoms
    D, z = complex_dictionary(atoms, "circular"), complex_to_codes(noise(rng, 1, 3, 9))
    np.testing.assert_allclose(D(z), complex_dictionary(whole, "circular")(z), atol=1e-12)
    assert csc.solve(complex_problem(x, atoms, 0.5, mode="circular")).relative_gap <= 1e-4


def test_complex_measurements(rng):
    A, atoms, z = noise(rng, 5, 14), noise(rng, 2, 2, 3), noise(rng, 3, 2, 5)
    seen = csc.MeasuredDictionary(complex_dictionary(atoms), complex_operator(A), (7,))
    D, _ = dense(atoms, (7,), 1)
    expected = z.reshape(3, -1) @ D.T @ A.T
    np.testing.assert_allclose(channels_to_complex(seen(complex_to_codes(z))), expected)
    y, codes = rng.standard_normal((3, 10)), complex_to_codes(z)
    assert (seen.adjoint(y) * codes).sum() == pytest.approx((y * seen(codes)).sum())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: complex_to_channels(np.ones((1, 1, 2), int)), "a must be complex64 or complex128"),
        (lambda: complex_to_channels(np.ones(3, complex)), "a must be .N, C, .S., got shape"),
        (lambda: channels_to_complex(np.ones((1, 3, 2))), "a must be .N, 2 C, .S.*got shape"),
        (lambda: codes_to_complex(np.ones((1, 3, 2))), "z must be .N, 2 K, .V.*got shape"),
        (lambda: complex_to_codes(np.ones((1, 3), complex)), "z must be .N, K, .V., got shape"),
        (lambda: complex_dictionary(np.ones((1, 3), complex)), "atoms must be .K, C, .s. with 1"),
        (lambda: csc.Dictionary(np.ones((1, 1, 2), complex)), "csc.operators.complex_to_channels"),
        (
            lambda: csc.sparse_code(np.ones((1, 1, 2), complex), np.ones((1, 1, 2)), 1.0),
            "csc.problems.complex_problem",
        ),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
