"""Updates of a dictionary for given codes."""

import numpy as np
import pytest

import csc
from csc.learning import update_dictionary


class Free:
    """All atoms."""

    def project(self, atoms):
        return atoms


@pytest.mark.parametrize("mode", ["full", "circular", "same"])
def test_without_a_constraint_the_atoms_are_those_of_least_squares(mode, rng):
    D = csc.Dictionary(rng.standard_normal((2, 1, 4)), mode)
    x = rng.standard_normal((3, 1, 20))
    z = rng.standard_normal((3, 2, *D.spatial_code_shape((20,))))
    columns = []
    for entry in np.eye(8).reshape(8, 2, 1, 4):
        columns.append(csc.Dictionary(entry, mode)(z, (20,)).ravel())
    best = np.linalg.lstsq(np.stack(columns, axis=1), x.ravel(), rcond=None)[0]
    problem = csc.Problem(x, D, csc.L1(0.1))
    for _ in range(20 if mode == "same" else 1):  # a border that cuts atoms needs more calls
        problem = csc.Problem(x, update_dictionary(problem, z, Free(), 300), csc.L1(0.1))
    np.testing.assert_allclose(problem.dictionary.atoms.ravel(), best, atol=1e-4)


def test_a_robust_update_lowers_its_data_term(rng):
    D, z = csc.Dictionary(rng.standard_normal((2, 1, 4))), rng.standard_normal((3, 2, 17))
    x = rng.standard_normal((3, 1, 20))
    x[0, 0, 3] = 50
    values = []
    for _ in range(4):
        problem = csc.Problem(x, D, csc.L1(0.1), data_term=csc.data_terms.Huber(0.3))
        values.append(problem.value(z))
        D = update_dictionary(problem, z, csc.constraints.UnitSphere())
    assert (np.diff(values[1:]) < 0).all()
    np.testing.assert_allclose(np.linalg.norm(D.atoms, axis=2), 1)


def test_patches_and_sparse_codes(rng):
    X = rng.standard_normal((30, 1, 3, 3))
    first = csc.constraints.UnitBall().project(rng.standard_normal((4, 1, 3, 3)))
    problem = csc.Problem(X, csc.Dictionary(first), csc.L1(0.1))
    z = csc.solve(problem).z
    new = update_dictionary(problem, z)
    assert csc.Problem(X, new, csc.L1(0.1)).value(z) < problem.value(z)
    with pytest.raises(ValueError, match="codes must have shape"):
        update_dictionary(problem, z[:2])
    with pytest.raises(TypeError, match="problem must be a csc.Problem"):
        update_dictionary(X, z)
    least_absolute = csc.Problem(X, new, csc.L1(0.1), None, csc.data_terms.LeastAbsolute())
    with pytest.raises(ValueError, match="majoriser_curvature"):
        update_dictionary(least_absolute, z)
    sizes = csc.Dictionary([first, first[:, :, :2]], "circular")
    problem = csc.Problem(X, sizes, csc.L1(0.1))
    with pytest.raises(ValueError, match="one size"):
        update_dictionary(problem, problem.zeros())
