"""Missing pixels, impulses, blur, enlargement, counts: what is restored, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

import csc
from csc.restoration import (
    deblur,
    denoise_poisson,
    inpaint,
    remove_impulses,
    remove_random_impulses,
    super_resolve,
)
from csc.restoration._deblur import _Data
from csc.restoration._inpaint import rough_fill


def psnr(truth, estimate):
    return -10 * np.log10(((truth - np.clip(estimate, 0, 1)) ** 2).mean(dtype="float64"))


def crop(name, side=64, *, colour=False):
    pixels = csc.images.natural([name], colour=colour)[0].pixels
    rows, columns = (n // 2 - side // 2 for n in pixels.shape[-2:])
    return np.ascontiguousarray(pixels[..., rows : rows + side, columns : columns + side])


@pytest.fixture(scope="module")
def camera():
    return crop("camera")


@pytest.fixture(scope="module")
def half():
    return np.random.default_rng(0).random((64, 64)) < 0.5


@pytest.fixture(scope="module")
def filled(camera, half):
    return inpaint(camera * half, half, quality="fast")


def gaussian(width):
    offsets = np.arange(-4, 5)
    return np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * width**2))


class TestInpaint:
    def test_is_ahead_of_biharmonic(self, camera, half, filled):
        from skimage.restoration import inpaint_biharmonic

        rival = psnr(camera, inpaint_biharmonic(camera * half, ~half))
        assert psnr(camera, filled.image) > rival + 1

    def test_keeps_what_was_observed(self, camera, half, filled):
        assert_array_equal(filled.image[half], camera[half])
        assert filled.image.dtype == "float32"
        fine = np.random.default_rng(0).random((8, 8))
        assert_array_equal(inpaint(fine).image, fine)

    def test_best_learns_what_no_photograph_has(self):
        clean = np.tile(np.random.default_rng(1).random((5, 7)), (9, 7))[:44, :44]
        mask = np.random.default_rng(0).random(clean.shape) < 0.4
        best, fast = (inpaint(clean * mask, mask, quality=q).image for q in ("best", "fast"))
        assert psnr(clean, best) > psnr(clean, fast) + 8

    def test_nan_and_masked_pixels_are_missing(self, camera, half, filled):
        nan = np.where(half, camera, np.float32(np.nan))
        for y in (nan, np.ma.array(camera, mask=~half), np.ma.array(nan, mask=~half)):
            assert_array_equal(inpaint(y, quality="fast").image, filled.image)

    @pytest.mark.parametrize("shape", [(64, 64), (3, 64, 64)])
    def test_colour_with_one_mask_or_three(self, shape):
        clean = crop("chelsea", colour=True)
        mask = np.random.default_rng(0).random(shape) < 0.4
        restored = inpaint(clean * mask, mask, quality="fast").image
        seen = np.broadcast_to(mask, clean.shape).astype("float32")
        assert psnr(clean, restored) > psnr(clean, rough_fill(clean, seen)) + 0.5

    def test_a_hole_larger_than_a_patch_is_filled_smoothly(self):
        clean = np.add.outer(np.arange(48.0), np.arange(48.0)) / 96
        mask = np.ones(clean.shape)
        mask[14:34, 14:34] = 0
        assert abs(inpaint(clean, mask, quality="fast").image - clean).max() < 0.1

    def test_nothing_missing(self, camera):
        restored = inpaint(camera)
        assert_array_equal(restored.image, camera)
        assert restored.message == "no pixel is missing"

    @pytest.mark.parametrize(
        ("mask", "words"),
        [
            (np.zeros((64, 64)), "mask is 0 or y is NaN"),
            (np.full((64, 64), 0.5), "0 .missing. and 1"),
            (np.ones((3, 3)), "broadcast to y"),
        ],
    )
    def test_bad_masks_are_refused(self, camera, mask, words):
        with pytest.raises(ValueError, match=words):
            inpaint(camera, mask)


class TestImpulses:
    def test_of_nothing_but_impulses_is_refused(self):
        with pytest.raises(ValueError, match="every pixel of y"):
            remove_impulses(np.indices((16, 16)).sum(axis=0) % 2.0)

    def test_are_removed(self, camera):
        u = np.random.default_rng(0).random(camera.shape)
        y = np.where(u < 0.15, 0, np.where(u > 0.85, 1, camera)).astype("float32")
        median = psnr(camera, ndimage.median_filter(y, 3))
        assert psnr(camera, remove_impulses(y, quality="fast").image) > median + 4

    def test_white_areas_are_no_impulses(self):
        y = np.full((32, 32), 0.5)
        y[8:24, 8:24] = 1
        y[3, 3] = y[15, 15] = 0
        restored = remove_impulses(y, quality="fast").image
        assert_array_equal(restored[10:14, 10:22], 1)
        assert abs(restored[3, 3] - 0.5) < 0.05
        assert abs(restored[15, 15] - 1) < 0.05


class TestRandomImpulses:
    def test_are_removed_better_than_by_medians(self):
        camera, rng = crop("camera", 48), np.random.default_rng(0)
        bad = rng.random(camera.shape) < 0.2
        y = np.where(bad, rng.random(camera.shape), camera).astype("float32")
        restored = remove_random_impulses(y, quality="fast").image
        medians = [
            np.where(abs(y - middle) > threshold, middle, y)
            for middle in (ndimage.median_filter(y, 3), ndimage.median_filter(y, 5))
            for threshold in (0, 0.05, 0.1, 0.15, 0.2)
        ]
        assert psnr(camera, restored) > max(psnr(camera, m) for m in medians) + 1.5
        assert restored.dtype == "float32"
        kept = restored == y  # pixels that are no impulses stay, bit for bit
        assert kept[~bad].mean() > 0.9
        assert kept[bad].mean() < 0.3

    def test_missing_pixels_are_refused(self, camera):
        with pytest.raises(ValueError, match="inpaint"):
            remove_random_impulses(np.where(camera > camera.mean(), np.nan, camera))

    def test_a_choice_that_there_is_not(self, camera):
        with pytest.raises(ValueError, match="'best', 'fast'"):
            remove_random_impulses(camera, quality="good")


class TestBlur:
    @pytest.mark.parametrize("factor", [1, 2])
    def test_the_data_step_is_the_minimiser(self, factor):
        """The gradient of the objective, by SciPy's convolution, is zero there."""
        rng = np.random.default_rng(0)
        y, v = rng.random((1, 8, 6)), rng.random((1, 8 * factor, 6 * factor))
        kernel = rng.random((3, 5))
        x = _Data(y, kernel, factor).nearest(v, 0.1).astype("float64")[0]
        residual = np.zeros_like(x)
        blurred = ndimage.convolve(x, kernel, mode="wrap")
        residual[::factor, ::factor] = blurred[::factor, ::factor] - y[0]
        gradient = ndimage.correlate(residual, kernel, mode="wrap") + 0.1 * (x - v[0])
        assert abs(gradient).max() < 1e-5

    @pytest.mark.parametrize("factor", [1, 2])
    def test_the_data_step_leaves_out_what_was_not_observed(self, factor, monkeypatch):
        monkeypatch.setattr("csc.restoration._deblur.CG_TOL", 1e-10)
        rng = np.random.default_rng(0)
        y, v = rng.random((2, 8, 6)), rng.random((2, 8 * factor, 6 * factor))
        kernel, observed = rng.random((2, 3)), (slice(2, 7), slice(1, 4))
        unit = np.eye(v[0].size).reshape(-1, *v.shape[1:])
        blurred = np.array([ndimage.convolve(u, kernel, mode="wrap") for u in unit])
        A = blurred[:, ::factor, ::factor][:, *observed].reshape(len(unit), -1).T
        x = _Data(y, kernel, factor, observed).nearest(v, 0.1)
        for plane, seen, start in zip(x, y[:, *observed], v, strict=True):
            b = A.T @ seen.ravel() + 0.1 * start.ravel()
            dense = np.linalg.solve(A.T @ A + 0.1 * np.eye(len(unit)), b)
            assert_allclose(plane.ravel(), dense, atol=1e-5)

    def test_the_data_step_of_a_tiny_noise_fits_the_data(self):
        rng = np.random.default_rng(0)
        truth, v = rng.random((2, 1, 8, 6))
        kernel = np.array([[0.1, 0.8, 0.1]])
        y = ndimage.convolve(truth, kernel[None], mode="wrap")
        np.testing.assert_allclose(_Data(y, kernel, 1).nearest(v, 1e-30), truth, atol=1e-6)

    @pytest.mark.parametrize("boundary", ["wrap", "reflect"])
    def test_is_removed(self, camera, boundary):
        kernel = gaussian(1.2)
        mode = {"wrap": "wrap", "reflect": "nearest"}[boundary]
        y = ndimage.convolve(camera, kernel / kernel.sum(), mode=mode)
        y += 2 / 255 * np.random.default_rng(0).standard_normal(y.shape).astype("float32")
        restored = deblur(y, kernel, 2 / 255, boundary=boundary, quality="fast")
        assert psnr(camera, restored.image) > psnr(camera, y) + 2
        assert restored.image.dtype == "float32"

    def test_a_picture_cut_out_of_a_blurred_scene(self):
        """What was blurred into the picture from outside of it is not known."""
        scene, kernel, sigma = crop("camera", 96), np.ones((1, 8)) / 8, 1 / 255
        y = ndimage.convolve(scene, kernel, mode="wrap")
        y += sigma * np.random.default_rng(0).standard_normal(y.shape)
        truth, y = scene[16:-16, 16:-16], y[16:-16, 16:-16]
        assert psnr(truth, deblur(y, kernel, sigma, quality="fast").image) > psnr(truth, y) + 8

    @pytest.mark.parametrize(
        ("kernel", "sigma", "words"),
        [
            (np.ones((65, 3)), 0.01, "larger than the image"),
            (np.ones(3), 0.01, r"\(h, w\)"),
            (-np.ones((3, 3)), 0.01, "positive sum"),
            (np.full((3, 3), np.nan), 0.01, "NaN"),
            (np.full((3, 3), 1e308), 0.01, "rescale kernel"),
            (1j * np.ones((3, 3)), 0.01, "real numbers, got complex128"),
            (np.ones((3, 3)), 0, "sigma"),
        ],
    )
    def test_bad_kernels_are_refused(self, camera, kernel, sigma, words):
        with pytest.raises((TypeError, ValueError), match=words):
            deblur(camera, kernel, sigma)

    def test_a_line_is_removed_better_with_more_iterations(self, camera):
        kernel = np.eye(9) / 9
        y = ndimage.convolve(camera, kernel.astype("float32"), mode="wrap")
        y += 2 / 255 * np.random.default_rng(0).standard_normal(y.shape).astype("float32")
        fast, best = (
            psnr(camera, deblur(y, kernel, 2 / 255, boundary="wrap", quality=quality).image)
            for quality in ("fast", "best")
        )
        assert best > fast + 0.2
        assert fast > psnr(camera, y) + 4

    def test_pixels_brighter_than_one_are_kept(self, camera):
        kernel = gaussian(1.2)
        y = ndimage.convolve(camera, kernel / kernel.sum(), mode="wrap")
        usual, bright = (
            psnr(camera, deblur(c * y, kernel, c * 2 / 255, boundary="wrap").image / c)
            for c in (1, 3)
        )
        assert bright > usual - 1

    def test_an_image_is_enlarged(self, camera):
        kernel = gaussian(0.8)
        y = ndimage.convolve(camera, kernel / kernel.sum(), mode="mirror")[::2, ::2]
        restored = super_resolve(y, 2, kernel, quality="fast").image
        spline = ndimage.map_coordinates(y, np.mgrid[:64, :64] / 2, order=3, mode="mirror")
        assert restored.shape == camera.shape
        assert psnr(camera, restored) > psnr(camera, spline) + 1

    @pytest.mark.parametrize("size", [2, 4])
    def test_means_of_blocks_are_enlarged(self, camera, size):
        """Of two pixels per axis, or overlapping blocks of four, which have zeros in their spectrum."""
        y = ndimage.convolve(camera, np.ones((size, size)) / size**2)[::2, ::2]
        kernel = np.pad(np.ones((2, 2)), (0, 1)) if size == 2 else np.ones((4, 4))
        restored = super_resolve(y, 2, kernel, 0.5 / 255, quality="fast").image
        places = np.mgrid[:64, :64] / 2 - 0.25
        spline = ndimage.map_coordinates(y, places, order=3, mode="mirror")
        assert psnr(camera, restored) > psnr(camera, spline) + 1

    def test_a_factor_of_one_is_refused(self, camera):
        with pytest.raises(ValueError, match="factor must be >= 2"):
            super_resolve(camera, 1, np.ones((3, 3)))


class TestPoisson:
    def test_noise_that_grows_with_the_signal_is_removed(self, camera):
        y = np.random.default_rng(0).poisson(20 * camera) / 20
        restored = denoise_poisson(y, 20, quality="fast").image
        uniform = csc.restoration.denoise(y, quality="fast").image
        assert psnr(camera, restored) > max(psnr(camera, y) + 5, psnr(camera, uniform) + 0.2)

    def test_the_mean_is_right_also_of_few_counts(self):
        y = np.random.default_rng(0).poisson(2.0, (64, 64)) / 4
        assert_allclose(denoise_poisson(y, 4, quality="fast").image.mean(), y.mean(), rtol=0.03)

    def test_few_photons_make_bright_pixels(self):
        counts = np.random.default_rng(0).poisson(0.05, (64, 64))
        assert counts.max() == 2
        restored = denoise_poisson(counts / 0.1, 0.1, quality="fast").image  # up to 20
        assert_allclose(restored.mean(), 0.5, rtol=0.15)
        with pytest.raises(ValueError, match="use y / peak"):
            denoise_poisson(100.0 * counts, 0.1)

    @pytest.mark.parametrize(("y", "peak"), [(-0.1, 10), (0.5, 0), (0.5, -1)])
    def test_bad_counts_are_refused(self, y, peak):
        with pytest.raises(ValueError, match="negative|peak"):
            denoise_poisson(np.full((16, 16), y), peak)
