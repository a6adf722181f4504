"""Arrays of others: what offers DLPack comes in, and goes out again."""

import numpy as np
import pytest
from penalties.test_penalties import PENALTIES
from test_constraints import CONSTRAINTS

import csc


class Foreign:
    """An array of a library that knows NumPy by nothing but DLPack."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, f"foreign.{array.dtype}"

    def __len__(self):
        return len(self._array)

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def torch_tensor(array):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    return torch.from_numpy(array)


@pytest.fixture(params=[Foreign, torch_tensor], ids=["dlpack", "torch"])
def foreign(request):
    return request.param


@pytest.fixture
def atoms(rng):
    return rng.standard_normal((4, 2, 5))


@pytest.fixture
def x(rng):
    return rng.standard_normal((3, 2, 20))


def test_signals_atoms_and_masks_of_others_are_coded(foreign, x, atoms, rng):
    mask = (rng.random(x.shape) < 0.8).astype("float64")
    ours = csc.sparse_code(x, atoms, 0.5, mask=mask)
    theirs = csc.sparse_code(foreign(x), foreign(atoms), 0.5, mask=foreign(mask))
    np.testing.assert_array_equal(theirs.codes, ours.codes)


def test_nothing_is_copied_on_the_way_in(foreign, x, atoms):
    problem = csc.Problem(foreign(x), csc.Dictionary(atoms), csc.L1(0.5))
    assert np.shares_memory(problem.x, x)


def test_layers_and_learners_take_them(foreign, x, atoms):
    layers = csc.MultiLayerDictionary([csc.Dictionary(foreign(atoms))])
    deep = csc.solve(csc.MultiLayerProblem(foreign(x), layers, [csc.L1(0.5)]), tol=1e-2)
    assert isinstance(deep.codes[0], np.ndarray)
    learner = csc.DictionaryLearning(4, (5,), 0.5, max_iter=1, random_state=0)
    whole, listed = learner.fit(foreign(x)).atoms_, learner.fit([foreign(a) for a in x]).atoms_
    np.testing.assert_array_equal(whole, learner.fit(x).atoms_)
    np.testing.assert_array_equal(listed, whole)


def test_operators_measures_and_pictures_take_them(foreign, x, atoms, rng):
    D = csc.Dictionary(atoms)
    z = D.adjoint(x)
    layers = csc.MultiLayerDictionary([D])
    picture, filters = rng.standard_normal((9, 10)), rng.standard_normal((3, 2, 5, 5))
    pairs = [
        (D, z),
        (D.adjoint, x),
        (lambda r: D.adjoint_atoms(r, foreign(z)), x),
        (lambda a: layers.forward(a, [0.1])[0], x),
        (layers, z),
        (lambda a: csc.solve(csc.Problem(x, D, csc.L1(0.5)), init=a).codes, z),
        (lambda w: csc.L1(0.5, weights=w).weights, np.ones((4, 1))),
        (lambda a: csc.certificates.duality_gap(a, D, foreign(z), csc.L1(0.5)), x),
        (lambda a: csc.theory.stripe_norm(a, D), z),
        (lambda a: csc.theory.local_noise(a, (5,)), x),
        (csc.images.whiten, picture),
        (lambda a: csc.images.extract_patches([a], (4,), border=1), x[0]),
        (csc.images.ZCA().fit_transform, x),
        (lambda a: csc.analysis.receptive_fields.fit_gabor(a, n_starts=1).r2, filters),
        (lambda a: csc.DictionaryLearning(4, (5,), 0.5, init=a, max_iter=1).fit(x).atoms_, atoms),
    ]
    for call, given in pairs:
        np.testing.assert_array_equal(call(foreign(given)), call(given))


@pytest.mark.parametrize("penalty", [*PENALTIES, csc.GroupL21(0.5, 2)], ids=repr)
def test_penalties_take_them(penalty, foreign, rng):
    z = rng.standard_normal((3, 4, 5))
    np.testing.assert_array_equal(penalty.prox(foreign(z), 0.7), penalty.prox(z, 0.7))
    assert penalty.value(foreign(z)) == penalty.value(z)


OTHERS = (
    csc.constraints.NonNegative(),
    csc.constraints.SparseAtoms(2),
    csc.constraints.Separable(),
    csc.constraints.TaperedBall(),
    csc.constraints.ComplexPairs(),
    csc.constraints.OrthonormalGroups(),
)


@pytest.mark.parametrize("constraint", [*CONSTRAINTS, *OTHERS], ids=repr)
def test_constraints_take_them(constraint, foreign, atoms):
    ours = constraint.project(atoms)
    np.testing.assert_array_equal(constraint.project(foreign(atoms)), ours)


def test_wrong_ones_are_refused_by_name(foreign, x):
    with pytest.raises(TypeError, match="atoms must be float32 or float64, got int64"):
        csc.Dictionary(foreign(np.ones((1, 1, 2), "int64")))
    with pytest.raises(ValueError, match="x must be"):
        csc.Problem(foreign(x[0]), csc.Dictionary(np.ones((1, 2, 2))), csc.L1(1.0))


def test_codes_go_out(x, atoms):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    z = csc.sparse_code(x, atoms, 0.5).codes
    assert torch.from_dlpack(z).shape == z.shape
