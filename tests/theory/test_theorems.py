"""Every theorem on sampled signals: where its condition holds, so does its conclusion.

And every check can fail: with half the bound, or with atoms that do not meet the condition.
"""

import numpy as np
import pytest

import csc
from csc import theory
from csc.theory import Layer

DRAWS, EXTENT, COUNT = 200, 24, 4


def incoherent(n_atoms=5, channels=256, width=4, seed=0):
    """Random atoms of so many samples that they are nearly orthogonal, mu about 0.1."""
    atoms = np.random.default_rng(seed).standard_normal((n_atoms, channels, width))
    return csc.Dictionary(csc.constraints.UnitSphere().project(atoms))


def coherent():
    """Smooth bumps: their neighbours look alike, as those of Gabor filters do."""
    t = np.arange(8.0)
    bumps = np.exp(-((t - np.array([[3.0], [3.5], [4.0]])) ** 2) / 4)[:, None]
    return csc.Dictionary(csc.constraints.UnitSphere().project(bumps))


def draw(D, rng, draws=DRAWS, count=COUNT):
    """Codes with ``count`` non-zeros of modulus 1 to 2, some of them crowded together."""
    z = np.zeros((draws, D.n_atoms, *D.spatial_code_shape((EXTENT,))))
    for codes in z:
        near = rng.integers(3, codes.shape[1] + 1)  # of the positions
        places = rng.choice(D.n_atoms * near, count, replace=False)
        values = rng.choice([-1, 1], count) * rng.uniform(1, 2, count)
        codes[places // near, places % near] = values
    return z


def noise(D, z, level, rng):
    """Noise of local norm ``level``: white, or made of true or of false atoms."""
    e = D(rng.standard_normal(z.shape) * (z != 0))
    e[::2] = rng.standard_normal(e[::2].shape)
    e[1::4] = D(np.roll(z, 1, axis=1) * (z == 0))[1::4]
    return e * (level / theory.local_noise(e, D.atom_shape))[:, None, None]


def omp(D, x):
    return csc.solve(csc.Problem(x, D, csc.L0(1e-9)), csc.solvers.ConvOMP(n_nonzero=COUNT)).codes


def lasso(D, x, lmbda, tol=1e-10):
    return csc.solve(csc.Problem(x, D, csc.L1(lmbda)), tol=tol).codes


def stripes(D, z):
    """Coherence, and the stripe norm of each signal's codes."""
    return theory.mutual_coherence(D), theory.stripe_norm(z, D)


def holding(guarantee):
    """Which signals the theorem speaks of: nearly all, by construction."""
    assert sum(g.holds for g in guarantee) >= 0.9 * len(guarantee)
    return np.array([g.holds for g in guarantee])


def biggest(a):
    return abs(a).reshape(len(a), -1).max(axis=1)


def energy(a):
    return (a**2).reshape(len(a), -1).sum(axis=1)


# Uniqueness.


def dependent(rng, shift):
    """Three atoms, one the sum of another and a shifted third, and codes that show it."""
    a, b = rng.standard_normal((2, 2, 4))
    weights = rng.uniform(0.5, 2, 2)
    atoms = np.zeros((3, 2, 6))
    atoms[0, :, :4], atoms[1, :, :4] = a, b
    atoms[2, :, :4] += weights[0] * a
    atoms[2, :, shift : shift + 4] += weights[1] * b
    norms = np.sqrt((atoms**2).sum(axis=(1, 2)))
    null = np.zeros((1, 3, 9))
    at = (0, 0, 0), (0, 1, 2), (4, 4 + shift, 4)
    null[at] = np.array([*weights, -1]) * norms
    D = csc.Dictionary(atoms / norms[:, None, None])
    np.testing.assert_allclose(D(null), 0, atol=1e-12)
    return D, null


@pytest.mark.parametrize("shrink", [1, 0.5])
def test_other_codes_of_a_signal_are_less_sparse(shrink, rng):
    broken = 0
    for i in range(DRAWS):
        D, null = dependent(rng, i % 3)
        z = -null * (rng.random((1, 3, 1)) < 0.5)
        mu, k = stripes(D, z)
        says = theory.uniqueness(shrink * mu, int(k[0]))
        broken += says.holds and theory.stripe_norm(z + null, D)[0] < says.bound
    assert (broken == 0) == (shrink == 1)


# One layer, without noise and with.


@pytest.mark.slow
@pytest.mark.parametrize("pursuit", [omp, lambda D, x: lasso(D, x, 1e-7)])
def test_pursuits_find_sparse_codes(pursuit, rng):
    D = incoherent()
    z = draw(D, rng, DRAWS + 60)
    mu, k = stripes(D, z)
    holds = holding([theory.pursuit_success(mu, int(n)) for n in k])
    middle = theory.shifted_coherence(D)[3]
    sharper = theory.stripe_coherence(z, D).max(axis=1) < (1 + middle) / 2
    error = biggest(pursuit(D, D(z)) - z)
    assert holds.sum() >= DRAWS
    assert error[holds].max() < 1e-6
    assert error[sharper].max() < 1e-6


@pytest.mark.parametrize("pursuit", [omp, lambda D, x: lasso(D, x, 1e-2, 1e-4)])
def test_pursuits_fail_where_atoms_look_alike(pursuit, rng):
    D = coherent()
    z = draw(D, rng, 50)
    mu, k = stripes(D, z)
    assert not any(theory.pursuit_success(mu, int(n)).holds for n in k if n > 1)
    assert biggest(pursuit(D, D(z)) - z).max() > 0.5


def test_near_codes_of_near_signals(rng):
    D = incoherent()
    z = draw(D, rng)
    other = z + (z != 0) * rng.standard_normal(z.shape) * 0.3
    mu, k = stripes(D, z)
    x = (D(z) + D(other)) / 2
    radius = np.sqrt(energy(x - D(z)))
    says = [theory.projection_stability(mu, int(n), r) for n, r in zip(k, radius, strict=True)]
    holds, bound = holding(says), np.array([g.bound for g in says])
    assert (energy(z - other) <= bound)[holds].all()
    assert not (energy(z - other) <= bound / 2)[holds].all()


@pytest.mark.slow
def test_omp_with_noise_finds_the_support(rng):
    D, level = incoherent(), 0.05
    z = draw(D, rng, DRAWS + 60)
    e = noise(D, z, level, rng)
    mu, k = stripes(D, z)
    size = np.sqrt(energy(e))
    least = np.where(z, abs(z), np.inf).min(axis=(1, 2))
    cases = zip(k, size, least, strict=True)
    says = [theory.omp_stability(mu, int(n), level, s, low) for n, s, low in cases]
    holds, bound = holding(says), np.array([g.bound for g in says])
    found = omp(D, D(z) + e)
    assert holds.sum() >= DRAWS
    assert ((found != 0) == (z != 0))[holds].all()
    assert (energy(found - z) <= bound)[holds].all()
    assert not (energy(found - z) <= bound / 2)[holds].all()
    drowned = omp(D, D(z) + 200 * e)
    assert not ((drowned != 0) == (z != 0)).all()
    assert not theory.omp_stability(mu, 1, 200 * level, 1.0, 1.0).holds


def test_the_lasso_with_noise_has_no_false_codes(rng):
    D, level = incoherent(), 0.02
    z = draw(D, rng, DRAWS + 100, count=3)
    mu, k = stripes(D, z)
    says = [theory.basis_pursuit_stability(mu, int(n), level) for n in k]
    holds, bound = holding(says), 7.5 * level
    assert all(g.bound == pytest.approx(bound) for g in says if g.holds)
    found = lasso(D, D(z) + noise(D, z, level, rng), 4 * level)
    false = biggest(np.where(z == 0, found, 0))
    assert holds.sum() >= DRAWS
    assert false[holds].max() < 1e-6
    assert biggest(found - z)[holds].max() < bound
    assert biggest(found - z)[holds].max() > bound / 2
    assert (found != 0)[holds][abs(z[holds]) > bound].all()
    eager = lasso(D, D(z) + noise(D, z, level, rng), level / 4)  # lmbda below the theorem's
    assert biggest(np.where(z == 0, eager, 0)).max() > 1e-6


# Layers.


def cascade():
    """Layers whose codes are sparse at both: second atoms of three non-zeros."""
    second = np.zeros((2, 5, 16))
    second[0, [0, 1, 2], [0, 8, 15]] = 0.8, 0.5, 0.33
    second[1, [2, 3, 4], [0, 7, 14]] = 0.25, 0.7, 0.67
    return csc.MultiLayerDictionary(
        [incoherent(channels=512), csc.Dictionary(csc.constraints.UnitSphere().project(second))]
    )


def layered_signals(D, rng, draws=DRAWS):
    """Codes of both layers, the deepest one or two; signals; and what the theorems ask of each."""
    deep = np.zeros((draws, 2, 30))
    for codes in deep:
        codes[rng.integers(2), rng.integers(30)] = rng.choice([-1, 1]) * rng.uniform(1, 1.2)
    codes = D.synthesize(deep, to_layer=1), deep
    first, second = D.layers
    patches = theory.patch_norm(codes[0], second.atom_shape), theory.stripe_norm(deep, second)
    layers = []
    for n in range(draws):
        pairs = zip(D.layers, codes, patches, strict=True)
        layers.append([_layer(part, g[n : n + 1], int(patch[n])) for part, g, patch in pairs])
    return codes, layers


def _layer(D, z, patch):
    mu, k = stripes(D, z)
    sizes = abs(z[z != 0])
    return Layer(mu, int(k[0]), patch, sizes.min(), sizes.max())


def errors(D, found, codes):
    """Local norm of the error of the codes of each layer: in the next one's boxes, at any place."""
    boxes = D.layers[1].atom_shape, (2 * D.layers[1].atom_shape[0] - 1,)
    pairs = zip(found, codes, boxes, strict=True)
    return [theory.local_noise(a - b, box) for a, b, box in pairs]


@pytest.mark.parametrize("rule", ["soft", "hard"])
def test_layered_thresholding(rule, rng):
    D, level, thresholds = cascade(), 0.01, (0.12, 0.6)
    codes, layers = layered_signals(D, rng)
    x = D(codes[-1])
    x += noise(D.layers[0], codes[0], level, rng)
    says = [theory.layered_thresholding(own, level, thresholds, rule) for own in layers]
    found = D.forward(x, thresholds, rule)
    for i, error in enumerate(errors(D, found, codes)):
        holds = holding([g[i] for g in says])
        bound = np.array([g[i].bound for g in says])
        assert ((found[i] != 0) == (codes[i] != 0))[holds].all()
        assert (error <= bound)[holds].all()
        assert not (error <= bound / 6)[holds].all()
    timid = D.forward(x, (1e-3, 0.6), rule)  # below what the theorem asks for
    assert not ((timid[0] != 0) == (codes[0] != 0)).all()
    assert not any(theory.layered_thresholding(o, level, (1e-3, 0.6))[0].holds for o in layers)


def test_layered_basis_pursuit(rng):
    D, level = cascade(), 0.004
    codes, layers = layered_signals(D, rng)
    x = D(codes[-1])
    x += noise(D.layers[0], codes[0], level, rng)
    says = [theory.layered_basis_pursuit(own, level) for own in layers]
    below, e = x, np.full(len(x), level)
    for i, part in enumerate(D.layers):
        holds, bound = holding([g[i] for g in says]), np.array([g[i].bound for g in says])
        lmbda = 4 * e.max()
        found = lasso(part, below, lmbda)
        assert biggest(np.where(codes[i] == 0, found, 0))[holds].max() < 1e-6
        worst = biggest(found - codes[i])
        assert worst[holds].max() < 7.5 * e.max()
        assert worst[holds].max() > 7.5 * e.max() / 3
        e, below = np.where(np.isfinite(bound), bound, 0), found


def test_labels_stand_within_their_margin(rng):
    weights, bias = rng.standard_normal((4, 20)), rng.standard_normal(4)
    z = rng.standard_normal((DRAWS, 2, 10))
    holds, margin = theory.classification_margin(weights, bias, z, 0.5)
    label = (z.reshape(DRAWS, -1) @ weights.T + bias).argmax(axis=1)
    worst = np.zeros((2, DRAWS), bool)
    for b in range(4):  # straight towards every other label
        ways = weights[b] - weights[label]
        ways /= np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-12)
        for i, size in enumerate((0.999, 1.001)):
            moved = z.reshape(DRAWS, -1) + size * margin[:, None] * ways
            worst[i] |= (moved @ weights.T + bias).argmax(axis=1) != label
    assert not worst[0].any()
    assert worst[1].all()
    np.testing.assert_array_equal(holds, margin > 0.5)


def test_what_no_theorem_covers_is_refused():
    layer = theory.Layer(0.1, 2, 2, 1.0, 1.0)
    for wrong in ({"max_modulus": 0.1}, {"min_modulus": 0.0}, {"patch": -1}, {"mu": 2.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            theory.layered_thresholding([layer._replace(**wrong)], 0.1, [0.5])
    with pytest.raises(ValueError, match="one for each of 1 layers"):
        theory.layered_thresholding([layer], 0.1, [0.5, 0.5])
    with pytest.raises(ValueError, match="mu must be a coherence"):
        theory.uniqueness(2.0, 1)
    w, b, z = np.eye(2), np.zeros(2), np.ones((1, 2))
    for wrong in ((w, b[:1], z, 1.0), (w, b, np.nan * z, 1.0), (w, b, z, np.nan), (w, b, z, -1.0)):
        with pytest.raises(ValueError, match="bias|codes|error"):
            theory.classification_margin(*wrong)
    assert not theory.classification_margin(w, b, z, np.inf)[0]
