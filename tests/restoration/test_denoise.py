"""Noise: how much is removed, what is estimated, and what is refused."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import csc
from csc.restoration import Restored, denoise, estimate_sigma
from csc.restoration._dictionary import shipped_atoms

SIGMA = 20 / 255


def psnr(truth, estimate):
    return -10 * np.log10(((truth - np.clip(estimate, 0, 1)) ** 2).mean(dtype="float64"))


def crop(name, side=96, *, colour=False):
    """The centre, which the shipped atoms were not learned from."""
    pixels = csc.images.natural([name], colour=colour)[0].pixels
    rows, columns = (n // 2 - side // 2 for n in pixels.shape[-2:])
    return np.ascontiguousarray(pixels[..., rows : rows + side, columns : columns + side])


def noisy(clean, sigma=SIGMA, seed=0):
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    return (clean + sigma * noise).astype("float32")


@pytest.fixture(scope="module")
def camera():
    return crop("camera")


@pytest.fixture(scope="module")
def fast(camera):
    return denoise(noisy(camera), SIGMA, quality="fast")


def test_fast_beats_the_strengths_of_total_variation(camera, fast):
    from skimage.restoration import denoise_tv_chambolle

    y = noisy(camera)
    rival = max(psnr(camera, denoise_tv_chambolle(y, weight=w * SIGMA)) for w in (0.8, 1, 1.2, 1.5))
    assert psnr(camera, fast.image) > rival + 0.8


def test_best_learns_what_no_photograph_has():
    clean = np.tile(np.random.default_rng(1).random((5, 7)), (14, 10))[:64, :64]
    y = noisy(clean, 3 * SIGMA)
    best, fast = (psnr(clean, denoise(y, 3 * SIGMA, quality=q).image) for q in ("best", "fast"))
    assert best > fast + 0.5


def test_colour_is_better_than_channel_by_channel():
    clean = crop("chelsea", 64, colour=True)
    y = noisy(clean)
    together = denoise(y, SIGMA, quality="fast").image
    apart = np.stack([denoise(c, SIGMA, quality="fast").image for c in y])
    assert psnr(clean, together) > psnr(clean, apart) + 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_result_is_like_the_input(camera, dtype):
    y = noisy(camera)[:48, :40].astype(dtype)
    before = y.copy()
    restored = denoise(y, SIGMA, quality="fast")
    assert isinstance(restored, Restored)
    assert restored.image.dtype == dtype
    assert restored.image.shape == (48, 40)
    assert restored.sigma == SIGMA
    assert restored.seconds > 0
    assert "shipped" in restored.message
    assert_array_equal(y, before)
    assert_array_equal(denoise(y[None], SIGMA, quality="fast").image[0], restored.image)


@pytest.mark.usefixtures("all_threads")
def test_the_result_is_the_same_for_any_number_of_threads(camera):
    numba = pytest.importorskip("numba")
    y = noisy(camera)
    before = numba.get_num_threads()
    results = []
    try:
        for n in {1, before}:
            numba.set_num_threads(n)
            results.append(denoise(y, SIGMA, quality="fast").image)
    finally:
        numba.set_num_threads(before)
    assert_array_equal(results[0], results[-1])


def test_the_same_seed_gives_the_same_image(camera):
    y = noisy(camera)[:40, :40]
    a, b = (denoise(y, SIGMA, rng=3) for _ in range(2))
    assert_array_equal(a.image, b.image)
    assert_array_equal(a.dictionary.atoms, b.dictionary.atoms)


def test_atoms_can_be_given(camera):
    y = noisy(camera)[:64, :64]
    few = csc.Dictionary(shipped_atoms()[:64])
    restored = denoise(y, SIGMA, dictionary=few, quality="fast")
    assert restored.dictionary.atoms.shape == (64, 1, 8, 8)
    assert psnr(camera[:64, :64], restored.image) > psnr(camera[:64, :64], y) + 5


@pytest.mark.parametrize("name", ["camera", "china", "coffee"])
@pytest.mark.parametrize("level", [10, 40])
def test_texture_does_not_mislead_the_estimate_of_sigma(name, level):
    y = noisy(crop(name, 256), level / 255)
    assert estimate_sigma(y) * 255 == pytest.approx(level, rel=0.06)


def test_the_estimate_of_sigma_on_texture_everywhere_is_as_documented():
    y = noisy(crop("grass", 256), 10 / 255)
    assert 1.15 < estimate_sigma(y) * 25.5 < 1.21


@pytest.mark.parametrize("side", [16, 40])
def test_sigma_of_a_small_image(side):
    sigmas = [estimate_sigma(noisy(np.full((side, side), 0.5), 0.1, seed)) for seed in range(5)]
    assert np.mean(sigmas) == pytest.approx(0.1, rel=0.03)


@pytest.mark.parametrize("shape", [(8, 8), (8, 12), (10, 10)])
def test_sigma_of_a_tiny_image_is_not_too_small(shape):
    rng = np.random.default_rng(0)
    variances = [estimate_sigma(0.1 * rng.standard_normal(shape)) ** 2 for _ in range(300)]
    assert np.median(variances) == pytest.approx(0.01, rel=0.12)


def test_sigma_is_estimated_where_none_is_given(camera):
    y = noisy(camera)
    restored = denoise(y, quality="fast")
    assert restored.sigma == estimate_sigma(y)
    assert "estimated" in restored.message


def test_where_no_patch_has_a_code_no_atom_is_learned():
    y = noisy(np.full((16, 16), 0.5), 0.01)
    assert abs(denoise(y, 0.1).image - y.mean()).max() < 0.01  # in tests, warnings are errors


def test_no_filter_of_warnings_is_set_for_other_threads(monkeypatch):
    def fit(self, *given):
        seen.append(str(warnings.filters))
        return learn(self, *given)

    seen, learn = [], csc.DictionaryLearning.fit
    monkeypatch.setattr(csc.DictionaryLearning, "fit", fit)
    denoise(np.full((24, 24), 0.5, "float32"), SIGMA, quality="best")
    assert seen
    assert not [filters for filters in seen if "zero" in filters]


def test_what_has_no_noise_is_left_as_it_is():
    y = np.full((32, 32), 0.25)
    restored = denoise(y)
    assert_array_equal(restored.image, y)
    assert restored.sigma == 0
    assert "nothing was changed" in restored.message


@pytest.mark.parametrize("unit", [2.0**-12, 2.0**-60, 2.0**-110, 2.0**-800])
def test_dark_images_are_restored_as_bright_ones(unit, camera):
    y, kernel, r = noisy(camera[:40, :48]).astype("float64"), np.ones((3, 3)), csc.restoration
    mask = np.random.default_rng(0).random(y.shape) > 0.4
    restore = {
        "noise": lambda unit: r.denoise(unit * y, unit * SIGMA),
        "unknown noise": lambda unit: r.denoise(unit * y, quality="fast"),
        "gaps": lambda unit: r.inpaint(unit * y, mask),
        "blur": lambda unit: r.deblur(unit * y, kernel, unit * SIGMA, quality="fast"),
        "few": lambda unit: r.super_resolve(unit * y, 2, kernel, unit * SIGMA, quality="fast"),
    }
    for name, of in restore.items():
        bright, dark = of(1), of(unit)
        assert_array_equal(dark.image / unit, bright.image, err_msg=name)
        assert dark.sigma == pytest.approx(unit * bright.sigma), name


def test_flat_areas_are_covered_by_groups():
    """All patches there are equally near; each must still be in its own group."""
    assert_array_equal(denoise(np.zeros((40, 40)), 0.1, quality="fast").image, 0)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda y: (y * 255).astype("uint8"), TypeError, "img_as_float32"),
        (lambda y: np.stack([y] * 3, -1), ValueError, r"moveaxis\(y, -1, 0\)"),
        (lambda y: np.where(y > y.mean(), np.nan, y), ValueError, "inpaint"),
        (lambda y: np.ma.masked_greater(y, y.mean()), ValueError, "inpaint"),
        (lambda y: np.where(y > y.mean(), np.inf, y), ValueError, "inf"),
        (lambda y: y * 255, ValueError, "from 0 to 1"),
        (lambda y: y[None, None], ValueError, r"\(C, H, W\)"),
        (lambda y: y[:4], ValueError, "pad"),
        (lambda y: np.stack([y] * 20), ValueError, "batch"),
        (lambda y: y.tolist(), TypeError, "numpy.array"),
    ],
)
def test_bad_images_are_refused(camera, change, error, words):
    with pytest.raises(error, match=words):
        denoise(change(camera[:32, :32]), SIGMA, quality="fast")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"sigma": 0}, ValueError, "sigma must be finite and > 0"),
        ({"sigma": -1.0}, ValueError, "sigma"),
        ({"sigma": 20}, ValueError, "sigma / 255"),
        ({"sigma": "20"}, TypeError, "number"),
        ({"quality": "good"}, ValueError, "'best', 'fast'"),
        ({"dictionary": np.ones((4, 3, 8, 8))}, ValueError, "channel by channel"),
        ({"dictionary": np.ones((4, 1, 8, 8))}, ValueError, "constant atoms"),
        ({"dictionary": np.eye(64).reshape(64, 1, 8, 8)[:, :, :, :7]}, ValueError, "square"),
        (
            {"dictionary": np.random.default_rng(0).random((2, 1, 33, 33))},
            ValueError,
            "larger than",
        ),
    ],
)
def test_bad_choices_are_refused(camera, options, error, words):
    with pytest.raises(error, match=words):
        denoise(camera[:32, :32], **{"sigma": SIGMA, **options})
