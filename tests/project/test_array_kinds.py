"""Every public function that takes an array takes all kinds of arrays, or says what to do."""

import inspect
import re
import sys
import warnings
from operator import attrgetter

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from scipy.sparse import csr_array

import csc

rng = np.random.default_rng(0)
ATOMS = rng.standard_normal((4, 2, 3))
X = rng.standard_normal((3, 2, 6))
Z = rng.standard_normal((3, 4, 4))
IMAGES = rng.standard_normal((3, 12, 12))
FILTERS = rng.standard_normal((3, 1, 6, 6))
D = csc.Dictionary(ATOMS)
DEEP = csc.MultiLayerDictionary([D, csc.Dictionary(rng.standard_normal((5, 4, 2)))])
SPIKES = csc.Dictionary(np.where(ATOMS < 1, 0, ATOMS))
PATCHES, ROWS = rng.standard_normal((9, 1, 3)), rng.standard_normal((4, 1, 3))
P = csc.Dictionary(ROWS)
MANY = rng.standard_normal((17, 2, 6))  # signals that lie side by side
SEEN = csc.MeasuredDictionary(D, rng.standard_normal((5, 12)), (6,))
L1 = csc.L1(0.5)
PENALTIES = (
    L1, csc.ElasticNet(0.5), csc.GroupL21(0.5, 2), csc.L0(0.5), csc.LogPenalty(0.5), csc.Simplex(),
)  # fmt: skip
CONSTRAINTS = (
    csc.constraints.UnitBall(), csc.constraints.UnitSphere(), csc.constraints.ZeroMean(), csc.constraints.NonNegative(),
        csc.constraints.SparseAtoms(2),
    csc.constraints.Separable(), csc.constraints.TaperedBall(), csc.constraints.OrthonormalGroups(),
    csc.constraints.ComplexPairs(), csc.constraints.Separable(share_channels=True),
    csc.constraints.SharedByChannels(2), csc.constraints.ConvexHull(0.5 * ATOMS),
    csc.constraints.ZeroMean() & csc.constraints.UnitBall(),
)  # fmt: skip


def problem(x=X, **given):
    return csc.Problem(x, D, L1, **given)


def learner(**given):
    return csc.DictionaryLearning(4, (3,), 0.5, max_iter=1, random_state=0, **given)


def patch_learner():
    return csc.learning.KSVD(4, PATCHES.shape[2:], 1, max_iter=1, random_state=0)


def coded(x, penalty, solver, dictionary=D):
    return csc.solve(csc.Problem(x, dictionary, penalty), solver, max_iter=5).codes


def deeply_coded(x):
    return csc.solve(
        csc.MultiLayerProblem(x, DEEP, [L1, L1]), csc.solvers.MLFISTA(), max_iter=5
    ).codes[-1]


def taught(method, *args):
    return lambda x: getattr(learner().fit(X), method)(x, *args)


def deep_learner():
    layers = [csc.DictionaryLearning(4, (3,), 0.1), csc.DictionaryLearning(5, (2,), 0.1)]
    return csc.MultiLayerDictionaryLearning(layers, 2, max_iter=1, random_state=0, pretrain=False)


def methods(penalty):
    return {
        f"{type(penalty).__name__}.prox": (Z, lambda z: penalty.prox(z, 0.5)),
        f"{type(penalty).__name__}.value": (Z, penalty.value),
    }


# What is called, with which array: the functions below get it in every kind.
CALLS = {
    "Dictionary atoms": (ATOMS, lambda a: csc.Dictionary(a).atoms),
    "Dictionary list": (ATOMS, lambda a: csc.Dictionary([a, ATOMS[:, :, :2]]).atoms),
    "Dictionary.__call__": (Z, D),
    "Dictionary.adjoint": (X, D.adjoint),
    "Dictionary.adjoint_atoms r": (X, lambda x: D.adjoint_atoms(x, Z)),
    "Dictionary.adjoint_atoms z": (Z, lambda z: D.adjoint_atoms(X, z)),
    "Measured.__call__": (Z, SEEN),
    "Measured.adjoint": (rng.standard_normal((2, 5)), SEEN.adjoint),
    "MultiLayerDictionary.adjoint": (X, DEEP.adjoint),
    "MultiLayerDictionary.forward": (X, lambda x: DEEP.forward(x, [0.1, 0.1])[-1]),
    "MultiLayerDictionary.__call__": (rng.standard_normal((3, 5, 3)), DEEP),
    "Problem x": (X, lambda x: problem(x).x),
    "Problem.value": (Z, lambda z: problem().value(z)),
    "Problem.gap": (Z, lambda z: problem().gap(z)),
    "Problem.grad": (Z, lambda z: problem().grad(z)),
    "Problem.residual": (Z, lambda z: problem().residual(z)),
    "MultiLayerProblem": (X, lambda x: csc.MultiLayerProblem(x, DEEP, [L1, L1]).x),
    "sparse_code x": (X, lambda x: csc.sparse_code(x, ATOMS, 0.5).codes),
    "sparse_code atoms": (ATOMS, lambda a: csc.sparse_code(X, a, 0.5).codes),
    "solve init": (Z, lambda z: csc.solve(problem(), csc.solvers.FISTA(), init=z, max_iter=1).codes),
    "solve FISTA of spikes": (X, lambda x: coded(x, L1, csc.solvers.FISTA(), SPIKES)),
    "solve WorkingSet of spikes": (X, lambda x: coded(x, L1, csc.solvers.WorkingSet(), SPIKES)),
    "solve ConvOMP": (X, lambda x: coded(x, csc.L0(0.1), csc.solvers.ConvOMP())),
    "solve patches": (PATCHES, lambda x: csc.sparse_code(x, ROWS, 0.5).codes),
    "solve patches atoms": (ROWS, lambda a: csc.sparse_code(PATCHES, a, 0.5).codes),
    "solve patches init": (
        abs(rng.standard_normal((9, 4, 1))),
        lambda z: csc.solve(csc.Problem(PATCHES, P, L1), init=z).codes,
    ),
    "solve patches weights": (
        abs(ROWS[:, :, 0]), lambda w: csc.solve(csc.Problem(PATCHES, P, csc.L1(0.5, w))).codes
    ),
    "solve SimultaneousOMP": (
        PATCHES, lambda x: coded(x, csc.L0(0.1), csc.solvers.SimultaneousOMP(), P),
    ),
    "solve OMP": (PATCHES, lambda x: coded(x, csc.L0(0.1), csc.solvers.OMP(), P)),
    "solve CoordinateDescent": (
        PATCHES, lambda x: coded(x, csc.LogPenalty(0.1), csc.solvers.CoordinateDescent(), P)
    ),
    "solve MLFISTA": (MANY, deeply_coded),
    "channels_to_complex": (X, csc.operators.channels_to_complex),
    "product_dictionary": (
        rng.standard_normal((3, 1, 4)),
        lambda a: csc.operators.product_dictionary(a, np.eye(2)).atoms,
    ),
    "product_dictionary vectors": (
        rng.standard_normal((3, 2)),
        lambda v: csc.operators.product_dictionary(ATOMS[:, :1], v).atoms,
    ),
    "codes_of_products": (Z, lambda z: csc.operators.codes_of_products(z, 2)),
    "codes_to_complex": (Z, csc.operators.codes_to_complex),
    "lmbda_max": (X, lambda x: csc.lmbda_max(x, D)),
    "lmbda_path": (X, lambda x: csc.lmbda_path(x, D, [0.9, 0.5])[-1].codes),
    "noise_constrained": (X[:1], lambda x: csc.noise_constrained(x, D, 3.0).codes),
    "lmbda_for_sparsity": (X, lambda x: csc.lmbda_for_sparsity(x, D, 4).codes),
    "match_dictionaries": (ATOMS, lambda a: csc.analysis.match_dictionaries(a, ATOMS[::-1]).scores),
    "similar_atoms": (ATOMS, lambda a: csc.analysis.similar_atoms(a, 2).cosines),
    "topography_and_waveform": (
        rng.standard_normal((3, 2, 6)), lambda a: csc.analysis.topography_and_waveform(a).waveforms
    ),
    "find_events": (Z, lambda z: csc.analysis.find_events(z).amplitude),
    "L1 weights": (abs(Z), lambda w: csc.L1(1.0, weights=w).prox(Z, 0.5)),
    **{name: call for penalty in PENALTIES for name, call in methods(penalty).items()},
    **{f"{c}.project": (ATOMS, lambda a, c=c: c.project(a)) for c in CONSTRAINTS},
    "certificate x": (X, lambda x: csc.certificates.certificate(x, D, Z, L1)[0]),
    "certificate z": (Z, lambda z: csc.certificates.certificate(X, D, z, L1)[0]),
    "duality_gap": (X, lambda x: csc.certificates.duality_gap(x, D, Z, L1)),
    "kkt_violation": (Z, lambda z: csc.certificates.kkt_violation(X, D, z, L1)),
    "fit": (X, lambda x: learner().fit(x).atoms_),
    "fit patches": (PATCHES, lambda x: learner().fit(x).atoms_),
    "fit init": (ATOMS, lambda a: learner(init=a).fit(X).atoms_),
    "partial_fit": (X, lambda x: learner().partial_fit(x).atoms_),
    "fit list": (X[0], lambda x: learner().fit([x, X[1]]).atoms_),
    "KSVD.fit": (PATCHES, lambda x: patch_learner().fit(x).atoms_),
    "grow": (X, lambda x: csc.learning.grow(learner(), x).atoms_),
    "transform": (X, taught("transform")),
    "score": (X, taught("score")),
    "MultiLayerDictionaryLearning.fit": (X, lambda x: deep_learner().fit(x).atoms_[0]),
    "local_noise": (X, lambda x: csc.theory.local_noise(x, (3,))),
    "classification_margin": (
        Z[:, :, 0], lambda z: csc.theory.classification_margin(np.eye(4), np.ones(4), z, 1.0)[1]
    ),
    "extract_patches": (IMAGES[0], lambda x: csc.images.extract_patches([x], (4, 4), 5, rng=0)),
    "whiten": (IMAGES[0], csc.images.whiten),
    "local_contrast_normalise": (IMAGES[0], csc.images.local_contrast_normalise),
    "ZCA.fit_transform": (
        IMAGES[:, None], lambda x: csc.images.ZCA().fit_transform(x)
    ),
    "patch_contrast_normalise": (
        rng.standard_normal((3, 2, 4, 4)), csc.images.patch_contrast_normalise
    ),
    "on_off": (rng.standard_normal((3, 2, 4, 4)), csc.images.on_off),
    "on_minus_off": (rng.standard_normal((3, 2, 4, 4)), csc.images.on_minus_off),
    "fit_gabor": (FILTERS, lambda a: csc.analysis.receptive_fields.fit_gabor(a, n_starts=1).r2),
    "frequency_band": (FILTERS, csc.analysis.receptive_fields.frequency_band),
    "phase_scrambled": (FILTERS, lambda a: csc.analysis.receptive_fields.phase_scrambled(a, rng=0)),
    "describe_filters": (FILTERS, lambda a: csc.analysis.describe_filters(a, rng=0).atoms),
    "reassemble": (
        rng.standard_normal((9, 1, 4, 4)), lambda p: csc.images.reassemble(p, (6, 6))
    ),
    "plot.montage": (FILTERS, csc.plot.montage),
}  # fmt: skip


class Lent:
    """What offers DLPack, like a tensor of another library."""

    def __init__(self, a):
        self._a = a

    def __dlpack__(self, **kwargs):
        return self._a.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._a.__dlpack_device__()


class OnDisk:
    """What h5py and zarr offer: a shape, a dtype, and an array when it is read."""

    def __init__(self, a):
        self._a, self.shape, self.dtype, self.ndim = a, a.shape, a.dtype, a.ndim

    def __getitem__(self, where):
        return self._a[where]

    def __len__(self):
        return len(self._a)


class Frame:
    """What pandas and polars offer."""

    def __init__(self, a):
        self._a = a

    def to_numpy(self):
        return self._a


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def kinds(a, folder):
    """The same numbers in arrays of all kinds."""
    on_disk = np.memmap(folder / "numbers", a.dtype, "w+", shape=a.shape)
    on_disk[...] = a
    return {
        "F order": np.asfortranarray(a),
        "flipped": a[::-1].copy()[::-1],
        "strided": np.repeat(a, 2, axis=-1)[..., ::2],
        "memory map": on_disk,
        "big-endian": a.astype(">f8"),
        "read-only": read_only(a),
        "masked, nothing missing": np.ma.masked_array(a),
        "DLPack": Lent(a),
    }


REFUSED = {
    "complex": (lambda a: a + 0j, "abs"),
    "longdouble": (lambda a: a.astype(np.longdouble), "astype.'float64'"),
    "int": (lambda a: (10 * a).astype(int), "astype.'float64'"),
    "uint8": (lambda a: (10 * abs(a)).astype(np.uint8), "img_as_float32"),
    "bool": (lambda a: a > 0, "astype.'float64'"),
    "float16": (lambda a: a.astype(np.float16), "astype.'float32'"),
    "object": (lambda a: a.astype(object), "float64"),
    "on disk": (OnDisk, r"\[\.\.\.\]"),
    "sparse": (lambda a: csr_array(a.reshape(len(a), -1)), "toarray"),
    "data frame": (Frame, "to_numpy"),
    "text": (lambda _: "signals.npy", "read|load"),
}


def numbers(result):
    return np.asarray(result if not isinstance(result, list) else np.concatenate(result))


def compiled():
    """Number of signatures that the kernels were compiled for."""
    modules = [m for name, m in sys.modules.items() if name.startswith("csc.kernels.cpu.")]
    ours = {f for m in modules for f in vars(m).values() if isinstance(f, Dispatcher)}
    return sum(len(f.signatures) for f in ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_all_kinds_give_the_same_result_and_compile_nothing(name, tmp_path):
    array, call = CALLS[name]
    expected = numbers(call(array))
    before = compiled()
    for kind, same in kinds(array, tmp_path).items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = numbers(call(same))
        assert not isinstance(result, np.ma.MaskedArray), kind
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12, err_msg=kind)
        assert compiled() == before, kind


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_array_of_floats_is_refused_with_advice(name):
    array, call = CALLS[name]
    errors = {kind: outcome(call, make(array))[1] for kind, (make, _) in REFUSED.items()}
    unclear = {k: e for k, e in errors.items() if not re.search(REFUSED[k][1], e)}
    assert unclear == {}


# What a mask means is tested elsewhere; here, that a masked array is the same as one.
HOLES = np.zeros(X.shape, bool)
HOLES[0, 0, 1:3] = HOLES[2, :, 4] = True
DIRTY = np.where(HOLES, 1e6, X)
SINGLE = HOLES[:1]
MASKED = {
    "sparse_code": lambda x, m=None: csc.sparse_code(x, ATOMS, 0.5, mask=m).codes,
    "lmbda_max": lambda x, m=None: csc.lmbda_max(x, D, mask=m),
    "Relative": lambda x, m=None: csc.Problem(x, D, csc.L1(csc.Relative(0.5)), m).penalty.lmbda,
    "certificate": lambda x, m=None: csc.certificates.certificate(x, D, Z, L1, m)[0],
    "kkt_violation": lambda x, m=None: csc.certificates.kkt_violation(x, D, Z, L1, m),
    "lmbda_path": lambda x, m=None: csc.lmbda_path(x, D, [0.9, 0.5], mask=m)[-1].codes,
    "noise_constrained": lambda x, m=None: (
        csc.noise_constrained(x[:1], D, 2.0, mask=None if m is None else m[:1]).codes
    ),
    "lmbda_for_sparsity": lambda x, m=None: csc.lmbda_for_sparsity(x, D, 4, mask=m).codes,
    "fit": lambda x, m=None: learner().fit(x, mask=m).atoms_,
    "fit list": lambda x, m=None: (
        learner().fit(list(x), mask=None if m is None else list(m)).atoms_
    ),
    "partial_fit": lambda x, m=None: learner().partial_fit(x, mask=m).atoms_,
    "transform": lambda x, m=None: learner().fit(X).transform(x, m),
    "score": lambda x, m=None: learner().fit(X).score(x, mask=m),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_array_is_its_mask(name):
    call = MASKED[name]
    expected = call(DIRTY, ~HOLES)
    masked = np.ma.masked_array(DIRTY, HOLES)
    np.testing.assert_allclose(call(masked), expected, rtol=1e-12)
    one = HOLES.copy()
    one[0, 0, 2] = False  # the rest of the holes is in a mask of its own
    np.testing.assert_allclose(
        call(np.ma.masked_array(DIRTY, one), ~(HOLES & ~one)), expected, rtol=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_masked_entries_are_honoured_or_refused(name):
    array, call = CALLS[name]
    holes = np.zeros(array.shape, bool)
    holes[(0,) * array.ndim] = True
    dirty = np.ma.masked_array(np.where(holes, 1e6, array), holes)
    clean = np.ma.masked_array(np.where(holes, 0.0, array), holes)
    result, error = outcome(call, dirty)
    if error:
        assert "mask" in error
    else:
        np.testing.assert_array_equal(numbers(result), numbers(call(clean)))


def outcome(call, array):
    """What a call returns, or what it says."""
    try:
        return call(array), ""
    except (TypeError, ValueError) as error:
        return None, str(error)


def names_that_take_arrays():
    """Public functions and classes with an argument that is an array."""
    for name in [*csc.__all__, "analysis.receptive_fields", "analysis.comparison"]:
        thing = attrgetter(name)(csc)
        for home, one in [(name, thing)] if callable(thing) else vars(thing).items():
            if not callable(one) or home.startswith("_"):
                continue
            if not getattr(one, "__module__", "").startswith("csc."):
                continue
            arguments = inspect.signature(one).parameters.values()
            if any(a in str(p.annotation) for p in arguments for a in ("Array", "SignalsLike")):
                yield home


# Results and descriptions, whose fields this library fills; and what is refused elsewhere.
RESULTS = {
    "FilterSet", "FirstLayer", "Match", "RankOne", "Events", "Sample", "SimilarAtoms", "GaborFit", "Summary", "Photograph",
}  # fmt: skip
ELSEWHERE = {  # what takes an array, and where its kinds are tested
    "to_torch": "thresholds: test_torch",
    "dictionary": "plot, which passes on to tile",
    "gabor_fits": "plot, which passes on to fit_gabor",
    "report": "tests/plot",
    "Restoration": "tests/plot",
    "analyse": "passes on to fit_gabor",
    "check_prox": "passes points on to the penalty",
    "chi_squared": "counts of any type",
    "earth_mover": "counts of any type",
    "shape_histogram": "numbers of any type",
    "stripe_norm": "codes of any real type",
    "stripe_coherence": "codes of any real type",
    "patch_norm": "codes of any real type",
    "stream_folder": "a function that prepares pictures",
    "solve": "init",
    "Dictionary": "atoms",
    "Problem": "x",
    "ProblemStructure": "made by Problem, from checked arrays",
    "Restored": "a result",
    "SimilarPatches": "a result",
    "coverage": "a result of analyse",
    "pixel_fields": "atoms of analyse",
    **dict.fromkeys(
        [
            "deblur",
            "denoise",
            "denoise_poisson",
            "estimate_sigma",
            "group_estimate",
            "inpaint",
            "remove_impulses",
            "remove_random_impulses",
            "similar_patches",
            "super_resolve",
        ],
        "tests/restoration",
    ),
    **dict.fromkeys(
        ["ImplicitSparseCode", "LCA", "MultiLayerPursuit", "SparseCode", "from_dictionary"],
        "lmbda: tests/nn",
    ),
    **dict.fromkeys(
        ["Huber", "LeastAbsolute", "LeastSquares", "Logistic", "Poisson"],
        "weights: tests/data_terms",
    ),
    "check_data_term": "passes on to the data term",
    **dict.fromkeys(
        ["complex_to_channels", "complex_to_codes", "complex_dictionary", "complex_problem"],
        "complex arrays: tests/problems",
    ),
    "TaperedBall": "window: tests/test_constraints.py",
    "with_gradient_term": "weights of the atoms: tests/problems",
    "update_dictionary": "tests/learning",
    "grow": "passes signals on to fit",
    "KSVD": "tests/learning",
    "QuietLearning": "a DictionaryLearning",
    "ByChannel": "weights: tests/penalties",
}


def test_no_public_function_that_takes_arrays_is_missing():
    covered = " ".join([*CALLS, *MASKED])
    names = set(names_that_take_arrays())
    assert names > {"sparse_code", "Problem", "whiten", "fit_gabor"}
    missing = {name for name in names if name not in covered}
    assert missing <= RESULTS | set(ELSEWHERE)


def test_lists_of_arrays_are_refused_with_advice_that_works():
    small = X[0, :, :-1]
    with pytest.raises(TypeError, match=r"use numpy.stack\(x\)"):
        csc.sparse_code(list(X), ATOMS, 0.5)
    with pytest.raises(TypeError, match="the arrays of x differ in shape: one call for each"):
        csc.sparse_code([X[0], small], ATOMS, 0.5)
