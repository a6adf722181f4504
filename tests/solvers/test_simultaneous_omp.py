"""One support for all signals: against a search over all atoms in every step."""

import numpy as np
import pytest

import csc
from csc.solvers import SimultaneousOMP


def by_search(x, atoms, n_nonzero, cost=0.0, energy=0.0):
    """Codes after the best atom was added again and again, each time by least squares from scratch."""
    support, best = [], (x**2).sum() / 2
    codes = np.zeros((len(x), len(atoms)))
    while len(support) < n_nonzero and 2 * best > energy:
        values = []
        for k in range(len(atoms)):
            own = atoms[[*support, k]].T
            fit = own @ np.linalg.lstsq(own, x.T, rcond=None)[0]
            values.append(np.inf if k in support else ((x.T - fit) ** 2).sum() / 2)
        k = int(np.argmin(values))
        if best - values[k] <= cost * len(x):
            break
        support, best = [*support, k], values[k]
    codes[:, support] = np.linalg.lstsq(atoms[support].T, x.T, rcond=None)[0].T
    return codes


@pytest.mark.parametrize(
    ("limits", "lmbda"), [((4, 0.0), 0.0), ((None, 0.0), 0.15), ((None, 9.0), 0.0), ((0, 0.0), 0.0)]
)
@pytest.mark.parametrize("n", [1, 5])
def test_the_atoms_are_those_of_a_search(limits, lmbda, n, dtype, rng):
    atoms = (rng.standard_normal((9, 2, 3)) + 0.8).astype(dtype)[
        :, :, ::-1
    ]  # coherent, not of norm 1
    x = rng.standard_normal((n, 2, 3)).astype(dtype)
    problem = csc.Problem(x, csc.Dictionary(atoms), csc.L0(lmbda))
    solution = csc.solve(problem, SimultaneousOMP(*limits))
    assert solution.codes.dtype == dtype
    assert solution.converged
    rows = [a.reshape(len(a), -1).astype("float64") for a in (x, atoms)]
    expected = by_search(*rows, 9 if limits[0] is None else limits[0], lmbda, limits[1])
    np.testing.assert_allclose(
        solution.codes[..., 0], expected, atol=1e-9 if dtype == "float64" else 1e-5
    )


def test_dependent_atoms_are_left_out_and_bad_input_is_refused(rng):
    atoms = rng.standard_normal((3, 1, 4))
    D = csc.Dictionary(np.concatenate([atoms, atoms, 0 * atoms[:1]]))
    x = rng.standard_normal((6, 1, 4))
    codes = csc.solve(csc.Problem(x, D, csc.L0(0.0)), SimultaneousOMP()).codes
    assert (codes != 0).any(axis=(0, 2)).sum() == 3
    one = csc.Problem(x, csc.Dictionary(atoms[:1]), csc.L0(0.0))
    np.testing.assert_allclose(
        csc.solve(one, SimultaneousOMP()).codes[:, 0, 0],
        x[:, 0] @ atoms[0, 0] / (atoms[0] ** 2).sum(),
    )
    assert not csc.solve(csc.Problem(0 * x, D, csc.L0(0.0)), SimultaneousOMP()).codes.any()
    with pytest.raises(ValueError, match="n_nonzero must be >= 0"):
        SimultaneousOMP(-1)
    for problem in (
        csc.Problem(x, D, csc.L1(0.1)),
        csc.Problem(x, csc.Dictionary(np.ones((1, 1, 2))), csc.L0(0.1)),
    ):
        with pytest.raises(ValueError, match="SimultaneousOMP cannot solve this problem"):
            csc.solve(problem, SimultaneousOMP())
