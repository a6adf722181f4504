"""csc.images: photographs, whitening, contrast normalisation, patches."""

import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from csc.images import (
    ZCA,
    extract_patches,
    gaussian_aperture,
    load_folder,
    local_contrast_normalise,
    natural,
    on_minus_off,
    on_off,
    patch_contrast_normalise,
    reassemble,
    whiten,
)

BUNDLED = {  # name: (height, width, first digits of the file's SHA-256)
    "brick": (512, 512, "7966caf324f6"),
    "camera": (512, 512, "b0793d2adda0"),
    "chelsea": (300, 451, "596aa1e7cb87"),
    "china": (427, 640, "8378025ad251"),
    "coffee": (400, 600, "cc02f8ca188b"),
    "flower": (427, 640, "a77f6ec41e35"),
    "grass": (512, 512, "b6b6022426b3"),
    "gravel": (512, 512, "c48615b451bf"),
    "rocket": (427, 640, "c2dd0de7c538"),
}
LUMA = np.array([0.2125, 0.7154, 0.0721])


def noise(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).random(shape).astype(dtype)


# ---- photographs -------------------------------------------------------------------------------


def test_natural_returns_every_photograph_with_its_provenance():
    photographs = natural()
    found = {p.name: (*p.pixels.shape, p.sha256[:12]) for p in photographs}
    assert found == BUNDLED
    assert list(found) == sorted(found)
    for p in photographs:
        assert p.pixels.dtype == np.float32
        assert p.pixels.flags.c_contiguous
        assert 0 <= p.pixels.min() < 0.3 < 0.7 < p.pixels.max() <= 1
        assert p.licence.startswith(("CC0", "CC BY 2.0", "public domain"))
        assert p.source == ("scikit-learn" if p.name in ("china", "flower") else "scikit-image")


def test_natural_is_told_in_a_line():
    said = repr(natural(["camera"]))
    assert said == "[Photograph('camera', 512x512, CC0 (Lav Varshney), from scikit-image)]"


def test_natural_colour_is_red_green_blue_and_grey_is_its_luma():
    colour = natural(colour=True)
    assert [p.name for p in colour] == ["chelsea", "china", "coffee", "flower", "rocket"]
    for rgb, grey in zip(colour, natural([p.name for p in colour]), strict=True):
        assert rgb.pixels.shape == (3, *grey.pixels.shape)
        np.testing.assert_allclose(np.tensordot(LUMA, rgb.pixels, 1), grey.pixels, atol=1e-6)
    coffee = colour[2].pixels.mean(axis=(1, 2))
    assert coffee[0] > coffee[1] > coffee[2]  # a red cup on brown wood


def test_natural_keeps_the_order_of_names():
    assert [p.name for p in natural(["grass", "brick"])] == ["grass", "brick"]


def test_natural_is_offline_writes_nothing_and_imports_late():
    script = """
import os, sys
import csc.images
late = {"skimage", "sklearn", "PIL", "tifffile", "numba", "matplotlib"} & set(sys.modules)
assert not late, late

def refuse(event, args):
    if event.startswith("socket.") and event != "socket.__new__" or event in ("os.mkdir",):
        raise SystemExit(f"{event} {args}")
    if event == "open":
        mode, flags = args[1] or "", args[2] or 0
        if set(mode) & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise SystemExit(f"{event} {args}")

sys.addaudithook(refuse)
assert len(csc.images.natural()) == 9
assert "sklearn" not in sys.modules  # its files are found without importing it
"""
    subprocess.run([sys.executable, "-B", "-c", script], check=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"names": "camera"}, TypeError, r"use \['camera'\]"),
        ({"names": ["lena"]}, ValueError, "names must be one of 'brick'.*got 'lena'"),
        ({"names": ["camera"], "colour": True}, ValueError, "'chelsea'.*got 'camera'"),
    ],
)
def test_natural_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        natural(**arguments)


GREY8 = (noise(20, 31) * 255).astype(np.uint8)
RGBA8 = (noise(20, 31, 4, seed=1) * 255).astype(np.uint8)
GREY16 = (noise(20, 31, seed=2) * 65535).astype(np.uint16)
ON_WHITE = RGBA8 / 255
ON_WHITE = ON_WHITE[..., :3] * ON_WHITE[..., 3:] + 1 - ON_WHITE[..., 3:]
PALETTE = Image.fromarray(RGBA8[..., :3]).quantize(16)
GREY_ALPHA = Image.merge("LA", [Image.fromarray(GREY8), Image.fromarray(RGBA8[..., 3])])
GREY_ALPHA_ON_WHITE = (GREY8 / 255) * (RGBA8[..., 3] / 255) + 1 - RGBA8[..., 3] / 255


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("grey.png", Image.fromarray(GREY8), GREY8 / 255),
        ("GREY.PNG", Image.fromarray(GREY8), GREY8 / 255),
        ("grey16.png", Image.fromarray(GREY16), GREY16 / 65535),
        ("grey16.tif", Image.fromarray(GREY16), GREY16 / 65535),
        ("float.tiff", Image.fromarray(noise(20, 31, dtype=np.float32)), noise(20, 31)),
        ("bilevel.png", Image.fromarray(GREY8 > 99), GREY8 > 99),
        ("grey.gif", Image.fromarray(GREY8), GREY8 / 255),
        ("grey.pgm", Image.fromarray(GREY8), GREY8 / 255),
        ("rgb.bmp", Image.fromarray(RGBA8[..., :3]), RGBA8[..., :3] / 255 @ LUMA),
        ("rgb.tif", Image.fromarray(RGBA8[..., :3]), RGBA8[..., :3] / 255 @ LUMA),
        ("rgba.png", Image.fromarray(RGBA8), ON_WHITE @ LUMA),
        ("grey-alpha.png", GREY_ALPHA, GREY_ALPHA_ON_WHITE),
        ("palette.png", PALETTE, np.asarray(PALETTE.convert("RGB")) / 255 @ LUMA),
    ],
)
def test_load_folder_reads(tmp_path, name, image, expected):
    image.save(tmp_path / name)
    [photograph] = load_folder(tmp_path)
    assert photograph.name == name
    assert photograph.source == str(tmp_path)
    assert photograph.licence == "not stated"
    assert photograph.pixels.dtype == np.float32
    np.testing.assert_allclose(photograph.pixels, expected, atol=1e-6)


def test_load_folder_reads_the_first_of_several_pages(tmp_path):
    pages = [Image.fromarray(GREY8), Image.fromarray(255 - GREY8)]
    for name in ("pages.tif", "frames.gif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    for photograph in load_folder(tmp_path):
        np.testing.assert_allclose(photograph.pixels, GREY8 / 255, atol=1e-6)


def test_load_folder_reads_van_hateren_files(tmp_path):
    counts = np.random.default_rng(0).integers(0, 6000, (1024, 1536))
    for name in ("imk00001.iml", "imk00001.imc"):
        counts.astype(">u2").tofile(tmp_path / name)
    for photograph in load_folder(tmp_path):
        np.testing.assert_allclose(photograph.pixels, counts / 65535, atol=1e-7)


def test_load_folder_colour(tmp_path):
    Image.fromarray(RGBA8[..., :3]).save(tmp_path / "a.png")
    [photograph] = load_folder(str(tmp_path), colour=True)
    np.testing.assert_allclose(photograph.pixels, np.moveaxis(RGBA8[..., :3], 2, 0) / 255, 1e-6)
    assert photograph.pixels.flags.c_contiguous


def test_load_folder_sorts_and_passes_over_other_files(tmp_path):
    for name in ("b.png", "a.bmp", "c.tif", ".hidden.png"):
        Image.fromarray(GREY8).save(tmp_path / name)
    (tmp_path / "README.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in load_folder(tmp_path)] == ["a.bmp", "b.png", "c.tif"]


def png_cut_short(path):
    Image.fromarray(GREY8).save(path)
    path.write_bytes(path.read_bytes()[:300])


def float_tiff(value):
    pixels = np.full((8, 9), value, dtype=np.float32)
    return lambda path: Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("text.png", lambda path: path.write_text("hello"), ""),
        ("empty.jpg", lambda path: path.write_bytes(b""), ""),
        ("short.png", png_cut_short, "truncated"),
        ("text.tif", lambda path: path.write_text("hello"), ""),
        ("short.iml", lambda path: path.write_bytes(bytes(100)), "1024,1536"),
        ("nan.tif", float_tiff(np.nan), "NaN"),
        ("large.tif", float_tiff(3.5), r"outside \[0, 1\]"),
        ("negative.tif", float_tiff(-0.5), r"outside \[0, 1\]"),
    ],
)
def test_load_folder_names_the_unreadable_image(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=f"cannot read image '.*{name}': .*{message}"):
        load_folder(tmp_path)


def test_load_folder_refuses_many_bands(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "bands.tif", np.zeros((20, 31, 7), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match=r"bands.tif.*\(20, 31, 7\) is not one image"):
        load_folder(tmp_path)


def test_load_folder_refuses_grey_where_colour_is_asked_for(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "grey.png")
    with pytest.raises(ValueError, match=r"grey.png.*it is grey"):
        load_folder(tmp_path, colour=True)


def test_load_folder_refuses_bad_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path '.*nowhere' does not exist"):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"path '.*' holds no picture; put files ending in .avif"):
        load_folder(tmp_path)


# ---- whitening ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(2, 21), st.integers(1, 20), st.data())
def test_whiten_multiplies_each_cosine_by_its_gain(H, W, data):
    k, m = data.draw(st.integers(0, H - 1)), data.draw(st.integers(0, W - 1))
    f0, order = data.draw(st.floats(0.1, 0.6)), data.draw(st.integers(1, 6))
    rows, columns = np.arange(H)[:, None] + 0.5, np.arange(W) + 0.5
    wave = np.cos(np.pi * k * rows / H) * np.cos(np.pi * m * columns / W)
    f = np.sqrt((k / (2 * H)) ** 2 + (m / (2 * W)) ** 2)  # cycles per pixel
    gain = f * np.exp(-((f / f0) ** order))
    np.testing.assert_allclose(whiten(wave, f0, order), gain * wave, atol=1e-12)


@pytest.mark.parametrize("f", [0.05, 0.125, 0.3, 0.45])
@pytest.mark.parametrize("degrees", [0, 33, 90, 120])
def test_whiten_gain_measured_on_an_oblique_wave(f, degrees):
    y, x = np.mgrid[:161, :200]
    angle = np.deg2rad(degrees)
    phase = 2 * np.pi * f * (np.cos(angle) * x + np.sin(angle) * y)
    interior = np.s_[40:-40, 40:-40]
    whitened = whiten(np.sin(phase))[interior]
    waves = np.stack([np.sin(phase)[interior].ravel(), np.cos(phase)[interior].ravel()], axis=1)
    in_phase, out_of_phase = np.linalg.lstsq(waves, whitened.ravel(), rcond=None)[0]
    assert in_phase == pytest.approx(f * np.exp(-((f / 0.4) ** 4)), rel=0.01)
    assert abs(out_of_phase) < 0.01 * in_phase


def test_whiten_makes_no_edge_of_the_border():
    ramp = np.linspace(0, 1, 65) * np.ones((48, 1))
    f = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.fftfreq(65))
    wrapped = np.fft.ifft2(f * np.exp(-((f / 0.4) ** 4)) * np.fft.fft2(ramp)).real
    assert abs(whiten(ramp)).max() < 0.15 * abs(wrapped).max()


def test_whiten_flattens_the_spectrum_of_a_photograph():
    def power_ratio(image):  # mean power of a low over that of a high band of equal width
        power = abs(np.fft.fft2(image - image.mean())) ** 2
        f = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512))
        low, high = ((f > a) & (f < a + 0.05) for a in (0.02, 0.2))
        return power[low].mean() / power[high].mean()

    [grass] = natural(["grass"])
    assert power_ratio(grass.pixels) > 10
    assert power_ratio(whiten(grass.pixels)) < 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whiten_treats_a_stack_plane_by_plane(dtype):
    stack = noise(2, 3, 17, 22, dtype=dtype)
    before = stack.copy()
    whitened = whiten(stack)
    assert whitened.dtype == dtype
    np.testing.assert_array_equal(stack, before)
    np.testing.assert_allclose(whitened.mean(axis=(2, 3)), 0, atol=1e-7)
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(whitened[i], whiten(stack[i]), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whiten_scales_by_one_factor_to_the_mean_variance(dtype):
    stack = noise(3, 16, 31, dtype=dtype) * np.array([1, 2, 5], dtype)[:, None, None]
    scaled = whiten(stack, variance=0.1)
    assert scaled.dtype == dtype
    assert scaled.var(axis=(1, 2)).mean() == pytest.approx(0.1, rel=1e-5)
    ratio = scaled / whiten(stack)
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((8, 8), np.uint8),), TypeError, "image must be float32 or float64, got uint8"),
        ((np.full((8, 8), np.nan),), ValueError, "image holds NaN"),
        ((np.ones(8),), ValueError, r"image must be \(..., H, W\), got shape \(8,\)"),
        ((np.ones((8, 8)), 0.0), ValueError, "f0 must be finite and > 0"),
        ((np.ones((8, 8)), 0.4, -1), ValueError, "order must be finite and > 0"),
    ],
)
def test_whiten_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        whiten(*arguments)


def test_whiten_refuses_impossible_variances():
    with pytest.raises(ValueError, match="variance must be finite and > 0"):
        whiten(noise(8, 8), variance=0)
    planes = np.ones((2, 8, 8)) * np.array([1.0, 2.0])[:, None, None]
    with pytest.raises(ValueError, match="image is constant"):
        whiten(planes, variance=0.1)


FILTERS = [whiten, local_contrast_normalise]


@pytest.mark.parametrize("f", FILTERS)
@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((32, 32, 3), r"last axis looks like channels; pass numpy.moveaxis\(image, -1, -3\)"),
        ((2, 32, 40, 4), r"numpy.moveaxis\(image, -1, -3\), or ndim=2 if images are 4 pixels wide"),
        ((32, 32, 1), "looks like channels"),
        ((5, 3, 100), r"looks like series \(N, C, T\); pass ndim=1 .* or ndim=2"),
        ((100,), r"for a series \(..., T\) pass ndim=1"),
    ],
)
def test_other_axes_than_those_of_images_are_refused_with_advice(f, shape, advice):
    with pytest.raises(ValueError, match=advice):
        f(noise(*shape))


@pytest.mark.parametrize("f", FILTERS)
def test_the_number_of_axes_may_be_said(f):
    series = noise(5, 3, 100)
    for i in np.ndindex(5, 3):
        np.testing.assert_allclose(f(series, ndim=1)[i], f(series[i], ndim=1), atol=1e-12)
    narrow = noise(2, 32, 3)
    np.testing.assert_allclose(f(narrow, ndim=2)[1], f(narrow[1]), atol=1e-12)
    flat = np.repeat(noise(9, 12)[:, None], 7, axis=1)  # a volume that is constant along an axis
    np.testing.assert_allclose(f(flat, ndim=3)[:, 3], f(flat[:, 3]), atol=1e-12)
    with pytest.raises(ValueError, match="ndim must be 1, 2 or 3"):
        f(narrow, ndim=4)
    with pytest.raises(ValueError, match=r"got shape \(32, 3\); ndim is 3"):
        f(narrow[0], ndim=3)


def test_whiten_multiplies_each_cosine_of_a_series_by_its_gain():
    wave = np.cos(np.pi * 7 * (np.arange(50) + 0.5) / 50)
    gain = 0.07 * np.exp(-((0.07 / 0.4) ** 4))
    np.testing.assert_allclose(whiten(wave, ndim=1), gain * wave, atol=1e-12)


@pytest.mark.parametrize("f", FILTERS)
def test_missing_pixels_are_refused_with_advice(f):
    image, holes = noise(20, 20), noise(20, 20) > 0.9
    advice = "fill the gaps, for example with skimage.restoration.inpaint_biharmonic"
    with pytest.raises(TypeError, match=f"image is a masked array .*{advice}"):
        f(np.ma.masked_array(image, holes))
    with pytest.raises(ValueError, match=f"image holds NaN; .*{advice}"):
        f(np.where(holes, np.nan, image))
    np.testing.assert_array_equal(f(np.ma.masked_array(image)), f(image))


# ---- contrast normalisation --------------------------------------------------------------------


def gaussian_average(image, sigma):
    """Average over a sampled Gaussian out to 4 sigma, by a loop over its taps."""
    radius = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    H, W = image.shape
    padded = np.pad(image, radius, mode="symmetric")
    return sum(
        a * b * padded[i : i + H, j : j + W] for i, a in enumerate(taps) for j, b in enumerate(taps)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_local_contrast_normalise_is_its_formula(dtype):
    stack = noise(2, 19, 24, dtype=dtype)
    stack[:, :10] *= dtype(0.05)  # below the floor
    normalised = local_contrast_normalise(stack, sigma=1.5, eps=0.1)
    assert normalised.dtype == dtype
    for image, ours in zip(stack.astype(np.float64), normalised, strict=True):
        v = image - gaussian_average(image, 1.5)
        deviation = np.sqrt(gaussian_average(v**2, 1.5))
        assert deviation.min() < 0.1 < deviation.max()
        np.testing.assert_allclose(ours, v / np.maximum(deviation, 0.1), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((8, 8), int),), TypeError, "image must be float32 or float64, got int64"),
        ((np.full((8, 8), np.inf),), ValueError, "image holds inf"),
        ((np.ones(8),), ValueError, r"image must be \(..., H, W\)"),
        ((np.ones((8, 8)), 0), ValueError, "sigma must be finite and > 0"),
        ((np.ones((8, 8)), 2.0, 0.0), ValueError, "eps must be finite and > 0"),
    ],
)
def test_local_contrast_normalise_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        local_contrast_normalise(*arguments)


# ---- ZCA ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patches():
    """5000 patches of a photograph, more than one block of the covariance."""
    return extract_patches(natural(["grass"])[0].pixels, (5, 6), 5000, rng=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zca_makes_the_covariance_the_identity(patches, dtype):
    patches = patches.astype(dtype)
    whitened = ZCA(eps=1e-9).fit_transform(patches)
    assert whitened.dtype == dtype
    assert whitened.shape == patches.shape
    flat = whitened.reshape(5000, 30).astype(np.float64)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(flat.T), np.eye(30), atol=1e-4)


def test_zca_is_symmetric_regularised_and_indifferent_to_units(patches):
    zca = ZCA(eps=0.3).fit(patches.astype(np.float64))
    W = zca.whitening_
    np.testing.assert_allclose(W, W.T, atol=1e-10)
    C = np.cov(patches.reshape(5000, 30).T.astype(np.float64))
    regularised = C + 0.3 * np.trace(C) / 30 * np.eye(30)
    np.testing.assert_allclose(W @ regularised @ W, np.eye(30), atol=1e-9)
    assert np.linalg.eigvalsh(W).min() > 0
    np.testing.assert_allclose(
        ZCA(eps=0.3).fit_transform(patches), ZCA(eps=0.3).fit_transform(255 * patches), atol=1e-4
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zca_inverse_transform_is_the_way_back(patches, dtype):
    zca = ZCA().fit(patches.astype(np.float64))
    back = zca.inverse_transform(zca.transform(patches.astype(dtype)))
    assert back.dtype == dtype
    np.testing.assert_allclose(back, patches, atol=2e-5)


def test_zca_survives_directions_without_variance(patches):
    flat = patches.reshape(5000, 30)
    centred = flat - flat.mean(axis=1, keepdims=True)
    whitened = ZCA().fit_transform(centred)
    assert abs(whitened).max() < 100
    variances = np.linalg.eigvalsh(np.cov(whitened.T.astype(np.float64)))
    assert variances[0] < 1e-3 < 0.9 < variances[1] <= variances[-1] < 1.001


def test_zca_is_a_citizen_of_scikit_learn(patches):
    flat = patches.reshape(5000, 30)
    copy = clone(ZCA(eps=0.25))
    assert copy.get_params() == {"eps": 0.25}
    pipeline = make_pipeline(PCA(5), ZCA()).set_params(zca__eps=1e-9).fit(flat)
    np.testing.assert_allclose(np.cov(pipeline.transform(flat).T), np.eye(5), atol=1e-4)
    fitted = ZCA().fit(flat)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.transform(flat), fitted.transform(flat))
    assert fitted.n_features_in_ == 30


def test_zca_refuses(patches):
    with pytest.raises(TypeError, match="X must be float32 or float64, got int64"):
        ZCA().fit(np.ones((4, 3), int))
    with pytest.raises(ValueError, match="X holds NaN"):
        ZCA().fit(np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="N >= 2"):
        ZCA().fit(np.ones((1, 3)))
    with pytest.raises(ValueError, match="N >= 2"):
        ZCA().fit(np.ones(3))
    with pytest.raises(ValueError, match="same patch throughout"):
        ZCA().fit(np.full((7, 3), 0.1))
    with pytest.raises(ValueError, match="eps must be finite and > 0"):
        ZCA(eps=0.0).fit(patches)
    with pytest.raises(NotFittedError, match="call fit first"):
        ZCA().transform(patches)
    with pytest.raises(ValueError, match=r"shape \(1, 5, 6\) as in fit, got shape \(2, 7\)"):
        ZCA().fit(patches).inverse_transform(np.ones((2, 7)))
    with pytest.raises(ValueError, match="parameters must be one of 'eps', got 'epsilon'"):
        ZCA().set_params(epsilon=1.0)


# ---- patches -----------------------------------------------------------------------------------


def naive_patches(image, shape, stride=1, border=0):
    """All patches of an image (C, *S), one after another."""
    grids = [
        range(border, S - border - s + 1, stride)
        for S, s in zip(image.shape[1:], shape, strict=True)
    ]
    corners = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(shape))
    return np.array(
        [image[:, *(slice(c, c + s) for c, s in zip(at, shape, strict=True))] for at in corners]
    )


@st.composite
def cuts(draw, covering=False):
    """An image (C, *S) of 1 to 3 axes, a patch shape and a stride."""
    d, channels, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(stride if covering else 1, 4)) for _ in range(d))
    if covering:
        S = [s + stride * draw(st.integers(0, 4 if d > 1 else 40)) for s in shape]
    else:
        S = [s + draw(st.integers(2, 7)) for s in shape]
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return noise(channels, *S, dtype=dtype), shape, stride


@settings(deadline=None)
@given(cuts(), st.integers(0, 1))
def test_extract_patches_takes_every_patch_in_order(cut, border):
    image, shape, stride = cut
    ours = extract_patches(image, shape, stride=stride, border=border)
    assert ours.dtype == image.dtype
    np.testing.assert_array_equal(ours, naive_patches(image, shape, stride, border))


def test_extract_patches_of_a_list_are_those_of_each_image():
    images = [noise(7, 9), noise(5, 4, seed=1), noise(1, 6, 6, seed=2)]
    expected = [naive_patches(a.reshape(1, *a.shape[-2:]), (3, 4), 2) for a in images]
    ours = extract_patches(images, (3, 4), stride=2)
    np.testing.assert_array_equal(ours, np.concatenate(expected))


def test_extract_patches_returns_a_copy():
    image = noise(6, 6)
    extract_patches(image, (2, 2))[:] = 0
    assert image.all()


@settings(deadline=None)
@given(cuts(), st.integers(0, 1), st.integers(0, 99))
def test_random_patches_are_patches(cut, border, seed):
    image, shape, stride = cut
    images = [image, image[:, ::-1] + 1]
    ours = extract_patches(images, shape, 20, stride=stride, border=border, rng=seed)
    assert ours.dtype == image.dtype
    assert ours.shape == (20, len(image), *shape)
    known = np.concatenate([naive_patches(a, shape, stride, border) for a in images])
    known = {a.tobytes() for a in known}
    assert all(a.tobytes() in known for a in ours)


def test_random_patches_are_uniform_over_the_positions_of_all_images():
    small, large = np.arange(30.0).reshape(5, 6), 100 + np.arange(120.0).reshape(10, 12)
    ours = extract_patches([small, large], (2, 3), 60_000, border=1, rng=0)
    places, counts = np.unique(ours[:, 0, 0, 0], return_counts=True)
    expected = [a[1 : H - 2, 1 : W - 3] for a, H, W in ((small, 5, 6), (large, 10, 12))]
    np.testing.assert_array_equal(places, np.concatenate([a.ravel() for a in expected]))
    chi_square = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    freedom = len(places) - 1
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


def test_random_patches_come_in_random_order():
    ours = extract_patches([np.zeros((9, 9)), np.ones((9, 9))], (2, 2), 200, rng=0)[:, 0, 0, 0]
    assert 60 < abs(np.diff(ours)).sum() < 140


def test_random_patches_repeat_with_the_seed_only():
    image = noise(30, 30)
    one, again, other = (extract_patches(image, (3, 3), 9, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    generator = np.random.default_rng(1)
    np.testing.assert_array_equal(one, extract_patches(image, (3, 3), 9, rng=generator))
    assert (one != extract_patches(image, (3, 3), 9, rng=generator)).any()


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (np.ones((9, 9), np.uint8), {}, TypeError, "images must be float32 or float64, got uint8"),
        ([np.ones((9, 9)), [[1.0]]], {}, TypeError, r"images\[1\] must be an array, got list"),
        ([], {}, ValueError, "images is an empty list"),
        ([np.ones((9, 9)), np.full((9, 9), np.nan)], {}, ValueError, r"images\[1\] holds NaN"),
        (np.ones((2, 1, 9, 9)), {}, ValueError, r"for a batch \(N, C, \*S\) pass list\(images\)"),
        (np.ones(9), {}, ValueError, r"images must be \(\*S\) or \(C, \*S\) with 2 axes"),
        (np.ones((9, 3)), {}, ValueError, r"shape \(4, 4\) .* larger than images of .*\(9, 3\)"),
        (np.ones((9, 9, 3)), {}, ValueError, r"first: numpy.moveaxis\(images, -1, 0\)"),
        (np.ones((9, 9)), {"border": 3}, ValueError, "with a border of 3 is larger"),
        ([np.ones((9, 9)), np.ones((3, 9, 9))], {}, ValueError, r"images\[1\] has 3 channels"),
        ([np.ones((9, 9)), np.ones((9, 9), "f4")], {}, TypeError, r"images\[1\] is float32"),
        (np.ones((9, 9)), {"n": 0}, ValueError, "n must be >= 1, got 0"),
        (np.ones((9, 9)), {"n": 2.0}, TypeError, "n must be an integer"),
        (np.ones((9, 9)), {"stride": 0}, ValueError, "stride must be >= 1"),
        (np.ones((9, 9)), {"border": -1}, ValueError, "border must be >= 0"),
        (np.ones((9, 9)), {"shape": 4}, TypeError, r"shape must be a tuple such as \(12, 12\)"),
        (np.ones((9, 9)), {"shape": ()}, ValueError, "shape must have 1 to 3 axes"),
        (np.ones((9, 9)), {"shape": (4, 0)}, ValueError, r"shape\[1\] must be >= 1"),
    ],
)
def test_extract_patches_refuses(images, options, error, message):
    with pytest.raises(error, match=message):
        extract_patches(images, **({"shape": (4, 4)} | options))


@settings(deadline=None)
@given(cuts(covering=True))
def test_reassemble_gives_the_image_back_exactly(cut):
    image, shape, stride = cut
    back = reassemble(extract_patches(image, shape, stride=stride), image.shape, stride=stride)
    assert back.dtype == image.dtype
    np.testing.assert_allclose(back, image, rtol=0 if image.dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("stride", [1, 2])
def test_reassemble_averages_what_overlaps(stride):
    shape, image_shape = (3, 5), (45, 9)  # more rows than fit in one block
    positions = [(i, j) for i in range(0, 43, stride) for j in range(0, 5, stride)]
    patches = noise(len(positions), 1, *shape)
    sums, counts = np.zeros(image_shape), np.zeros(image_shape)
    for patch, (i, j) in zip(patches, positions, strict=True):
        sums[i : i + 3, j : j + 5] += patch[0]
        counts[i : i + 3, j : j + 5] += 1
    np.testing.assert_allclose(reassemble(patches, image_shape, stride=stride), sums / counts)


@pytest.mark.parametrize(
    ("space", "shape", "stride"),
    [((11,), (4,), 3), ((66, 9), (4, 5), 3), ((7, 9, 5), (3, 2, 4), 2)],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_any_stride_reaches_the_edges(space, shape, stride, weighted):
    axes = [
        sorted({*range(0, S - s + 1, stride), S - s}) for S, s in zip(space, shape, strict=True)
    ]
    image = noise(2, *space)
    patches = extract_patches(image, shape, stride=stride, to_edge=True)
    weights = abs(noise(len(patches))) if weighted else None
    sums, counts = np.zeros(image.shape), np.zeros(space)
    changed = patches + noise(*patches.shape)
    for i, at in enumerate(itertools.product(*axes)):
        where = tuple(slice(a, a + s) for a, s in zip(at, shape, strict=True))
        np.testing.assert_array_equal(patches[i], image[:, *where])
        weight = 1 if weights is None else weights[i]
        sums[:, *where] += weight * changed[i]
        counts[where] += weight
    back = reassemble(changed, image.shape, stride=stride, to_edge=True, weights=weights)
    np.testing.assert_allclose(back, sums / counts)


def test_patches_to_the_edge_of_a_masked_image_leave_out_masked_pixels():
    image = np.ma.masked_equal(np.arange(7.0), 1)
    assert extract_patches(image, (2,), stride=3, to_edge=True)[:, 0].tolist() == [[3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"\(4,\), one for each patch"),
        (np.array([1, 1, 1, -1.0]), "weights must be >= 0, got -1"),
        (np.array([1, 1, 1, 0.0]), "leave pixels without any"),
        (np.array([1, 1, 1, np.nan]), "weights holds NaN"),
    ],
)
def test_bad_weights_of_patches_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        reassemble(np.ones((4, 1, 2, 2)), (4, 4), stride=2, weights=weights)


@pytest.mark.parametrize(
    ("patches", "image_shape", "stride", "error", "message"),
    [
        (np.ones((36, 1, 4, 4), int), (9, 9), 1, TypeError, "patches must be float32 or float64"),
        (np.full((36, 1, 4, 4), np.nan), (9, 9), 1, ValueError, "patches holds NaN"),
        (np.ones((36, 4)), (9, 9), 1, ValueError, r"patches must be \(N, C, \*s\).*\[:, None\]"),
        (np.ones((35, 1, 4, 4)), (9, 9), 1, ValueError, r"patches are 35, but .* has 36"),
        (np.ones((9, 1, 4, 4)), (9, 9), 2, ValueError, "stride 2 leaves pixels that no patch"),
        (np.ones((4, 1, 2, 2)), (5, 5), 3, ValueError, "must be at most 2"),
        (np.ones((1, 1, 4, 4)), (3, 4), 1, ValueError, "patches of extent 4 are larger"),
        (np.ones((36, 1, 4, 4)), (2, 9, 9), 1, ValueError, r"image_shape must be \(C, \*S\)"),
        (np.ones((36, 3, 4, 4)), (9, 9), 1, ValueError, r"with C = 3 and 2 axes .* got \(9, 9\)"),
        (np.ones((36, 1, 4, 4)), 9, 1, TypeError, "image_shape must be a tuple"),
        (np.ones((36, 1, 4, 4)), (9.0, 9), 1, TypeError, r"image_shape\[0\] must be an integer"),
        (np.ones((36, 1, 4, 4)), (9, 9), 0, ValueError, "stride must be >= 1"),
    ],
)
def test_reassemble_refuses(patches, image_shape, stride, error, message):
    with pytest.raises(error, match=message):
        reassemble(patches, image_shape, stride=stride)


@pytest.mark.parametrize(("border", "stride"), [(0, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize(
    ("space", "shape"), [((14, 17), (3, 4)), ((40,), (5,)), ((8, 7, 9), (2, 3, 2))]
)
def test_patches_that_touch_a_masked_pixel_are_left_out(space, shape, border, stride):
    images = [noise(2, *space), noise(2, *(S + 2 for S in space), seed=1)]
    holes = noise(2, *space, seed=2) > 0.97
    dirty = np.where(holes, np.nan, images[0])
    masked = [np.ma.masked_invalid(dirty), images[1]]
    how = {"stride": stride, "border": border}
    every = np.concatenate(
        [naive_patches(one, shape, stride, border) for one in [dirty, images[1]]]
    )
    whole = every[np.isfinite(every).all(axis=tuple(range(1, every.ndim)))]
    assert 0 < len(whole) < len(every)
    np.testing.assert_array_equal(extract_patches(masked, shape, **how), whole)
    drawn = extract_patches(masked, shape, 40 * len(whole), rng=0, **how)
    counts = [(drawn == one).all(axis=tuple(range(1, drawn.ndim))).sum() for one in whole]
    assert sum(counts) == len(drawn)
    assert 5 < min(counts) <= max(counts) < 90  # of 40


def test_images_with_missing_pixels_say_what_to_do():
    image = np.where(noise(9, 9) > 0.8, np.nan, 0.5)
    with pytest.raises(ValueError, match=r"images\[1\] holds NaN; numpy.ma.masked_invalid\(images"):
        extract_patches([noise(9, 9), image], (2, 2))
    nothing = np.ma.masked_array(noise(9, 9), True)
    with pytest.raises(ValueError, match="images hold no patch without a masked pixel"):
        extract_patches(nothing, (2, 2), 5)
    both = extract_patches([nothing, noise(9, 9), nothing], (2, 2), 50, rng=0)
    np.testing.assert_array_equal(both, extract_patches(noise(9, 9), (2, 2), 50, rng=0))
    patches = np.ma.masked_less(noise(36, 1, 4, 4), 0.1)
    fitted = ZCA().fit(noise(5, 1, 4, 4))
    for call in (lambda p: reassemble(p, (9, 9)), ZCA().fit, fitted.transform):
        with pytest.raises(TypeError, match="is a masked array with"):
            call(patches)


def test_a_photograph_held_sideways_is_turned_upright(tmp_path):
    picture = Image.fromarray(np.repeat(np.uint8([[0, 255]]), 8, axis=0).repeat(8, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise by a quarter
    picture.save(tmp_path / "phone.jpg", exif=exif)
    [photograph] = load_folder(tmp_path)
    assert photograph.pixels.shape == (16, 8)
    assert photograph.pixels[:4].mean() < 0.1 < 0.9 < photograph.pixels[-4:].mean()


# ---- channels of patches -----------------------------------------------------------------------


def test_contrast_of_patches_is_normalised(rng, dtype):
    contrasts = np.array([0.1, 1, 10]).reshape(3, 1, 1, 1)
    patches = (contrasts * rng.standard_normal((3, 2, 6, 5)) + 4).astype(dtype)
    found = patch_contrast_normalise(patches, eps=0.1)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.mean(axis=(2, 3)), 0, atol=1e-5)
    centred = patches - patches.mean(axis=(2, 3), keepdims=True)
    c = np.sqrt((centred**2).mean(axis=(1, 2, 3)))
    expected = c / (c + 0.1 * c.mean())
    np.testing.assert_allclose(np.sqrt((found**2).mean(axis=(1, 2, 3))), expected, rtol=1e-4)
    scaled = patch_contrast_normalise(patches, variance=0.1)
    assert scaled.var() == pytest.approx(0.1, rel=1e-4)
    np.testing.assert_array_equal(patch_contrast_normalise(np.ones((2, 1, 3))), 0)


def test_on_off_channels_have_a_way_back(rng, dtype):
    patches = rng.standard_normal((4, 2, 3, 5)).astype(dtype)
    channels = on_off(patches)
    assert channels.shape == (4, 4, 3, 5)
    assert channels.dtype == dtype
    assert channels.min() == 0
    np.testing.assert_array_equal(on_minus_off(channels), patches)
    with pytest.raises(ValueError, match="in pairs, got 3"):
        on_minus_off(channels[:, :3])
    with pytest.raises(ValueError, match=r"\(N, C, \*s\)"):
        on_off(patches[0, 0])


def test_gaussian_aperture_is_one_in_the_middle():
    aperture = gaussian_aperture((5, 7), 2.0)
    assert aperture[2, 3] == 1
    assert aperture[2, 5] == aperture[2, 1] == aperture[0, 3] == pytest.approx(np.exp(-0.5))
    with pytest.raises(ValueError, match="sigma"):
        gaussian_aperture((5, 5), 0)


@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1e-30), ("float64", 1e200)])
def test_values_that_cannot_be_squared_are_refused(dtype, scale, rng):
    image = (scale * rng.standard_normal((2, 12, 12))).astype(dtype)
    for normalise in (
        lambda a: whiten(a, variance=0.1),
        local_contrast_normalise,
        patch_contrast_normalise,
        lambda a: ZCA().fit(a),
    ):
        with pytest.raises(ValueError, match="cannot square; rescale"):
            normalise(image)
    assert abs(whiten(image)).max() > 0  # a filter squares nothing


@pytest.mark.parametrize("value", [0.1, 0.3, 1000.1])
def test_patches_without_contrast_are_zero(value, dtype):
    patches = np.full((5, 2, 7, 9), value, dtype)
    patches[:, 1] /= 3
    assert not patch_contrast_normalise(patches).any()
    assert not patch_contrast_normalise(patches, variance=0.1).any()


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [(5, TypeError, "shape must be a tuple"), ((-5, 5), ValueError, r"shape\[0\] must be >= 1")],
)
def test_apertures_of_no_shape_are_refused(shape, error, words):
    with pytest.raises(error, match=words):
        gaussian_aperture(shape, 1.0)
