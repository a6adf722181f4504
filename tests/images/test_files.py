"""csc.images reads what Pillow writes, in every mode and format, as Pillow converts it."""

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps, features

from csc.images import load_folder, stream_folder

LUMA = np.array([0.2125, 0.7154, 0.0721])
H, W = 24, 32


def smooth(bands, seed):
    """Whole numbers from 0 to 255, which a lossy format keeps, more or less."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, bands), np.uint8)
    bands = [Image.fromarray(band).resize((W, H)) for band in np.moveaxis(small, 2, 0)]
    return np.stack(bands, axis=2)


RGB = Image.fromarray(smooth(3, 0))
GREY = Image.fromarray(smooth(1, 1)[..., 0])
ALPHA = Image.fromarray(smooth(1, 2)[..., 0])
DEEP = np.random.default_rng(3).integers(0, 65536, (H, W)).astype(np.uint16)
BILEVEL = GREY.point(lambda v: 255 * (v > 99)).convert("1")
PALETTE = RGB.quantize(16)
MODES = {  # of Pillow, and what to save besides
    "1": (BILEVEL, {}),
    "1 one value transparent": (BILEVEL, {"transparency": 0}),
    "L": (GREY, {}),
    "L one value transparent": (GREY, {"transparency": int(np.asarray(GREY)[3, 4])}),
    "LA": (Image.merge("LA", [GREY, ALPHA]), {}),
    "P": (PALETTE, {}),
    "P of greys": (GREY.quantize(8), {}),
    "P one value transparent": (PALETTE, {"transparency": 3}),
    "P with tRNS": (PALETTE, {"transparency": bytes(range(0, 256, 16))}),
    "PA": (Image.merge("RGBA", [*RGB.split(), ALPHA]).convert("PA"), {}),
    "RGB": (RGB, {}),
    "RGB one value transparent": (RGB, {"transparency": RGB.getpixel((2, 3))}),
    "RGBA": (Image.merge("RGBA", [*RGB.split(), ALPHA]), {}),
    "RGBX": (Image.merge("RGBX", [*RGB.split(), ALPHA]), {}),
    "CMYK": (Image.merge("CMYK", [*RGB.split(), ALPHA]), {}),
    "YCbCr": (RGB.convert("YCbCr"), {}),
    "HSV": (RGB.convert("HSV"), {}),
    "LAB": (Image.merge("LAB", RGB.split()), {}),
    "I;16": (Image.fromarray(DEEP), {}),
    "I;16B": (Image.fromarray(DEEP).convert("I").convert("I;16B"), {}),
    "I;16 one value transparent": (Image.fromarray(DEEP), {"transparency": int(DEEP[3, 4])}),
    "I": (Image.fromarray(DEEP.astype(np.int32)), {}),
    "F": (Image.fromarray(DEEP.astype(np.float32) / 65535), {}),
}  # fmt: skip
FORMATS = {
    "png": [{}],
    "tif": [{"compression": one} for one in (
        None, "tiff_ccitt", "group3", "group4", "tiff_lzw", "jpeg", "tiff_adobe_deflate",
        "packbits", "tiff_deflate", "lzma", "zstd", "webp",
    )],
    "gif": [{}],
    "jpg": [{"quality": 95}],
    "pgm": [{}],
    "ppm": [{}],
    "webp": [{"lossless": True}],
    "bmp": [{}],
    "jp2": [{}],
    "avif": [{}] if features.check("avif") else [],
}  # fmt: skip


def written(folder, suffix):
    """Files of every mode that Pillow writes in a format."""
    for i, ways in enumerate(FORMATS[suffix]):
        for name, (image, besides) in MODES.items():
            path = folder / f"{name.replace(';', '-')}-{i}.{suffix}"
            try:
                image.save(path, **besides, **ways)
            except (OSError, ValueError, KeyError, RuntimeError, TypeError, SystemError, Warning):
                path.unlink(missing_ok=True)
                continue
            yield name, path


def by_pillow(path):
    """Colours ``(H, W, 3)`` or grey ``(H, W)`` of Pillow's own conversion, laid on white."""
    with Image.open(path) as image:
        image.load()
        if image.mode.startswith("I;16"):
            top = 65535
        elif image.mode == "I":
            top = 65535 if image.format == "PPM" else 2**31 - 1
        else:
            top = 1
        if image.mode[0] in "IF":
            pixels = np.asarray(image) / top
            return np.where(np.asarray(image) == image.info.get("transparency", -1), 1.0, pixels)
        white = Image.new("RGBA", image.size, "white")
        laid = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        return np.asarray(laid) / 255


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_are_read_as_pillow_converts_them(tmp_path, suffix):
    read = set()
    for name, path in written(tmp_path, suffix):
        with Image.open(path) as image:
            mode, colour = image.mode, image.mode[0] not in "1LIF"
            rounding = 1.01 / 255 if image.has_transparency_data else 1e-6
        if mode == "LAB":
            with pytest.raises(ValueError, match=rf"{path.name}.*CIE L\*a\*b\*"):
                load_folder(path)
            continue
        try:
            expected = by_pillow(path)
        except OSError:  # Pillow 11 writes YCbCr that it cannot read
            with pytest.raises(ValueError, match=f"cannot read image '.*{path.name}'"):
                load_folder(path)
            continue
        grey = expected if expected.ndim == 2 else expected @ LUMA
        [photograph] = load_folder(path)
        assert photograph.pixels.shape == (H, W), path.name
        error = abs(photograph.pixels - grey).max()
        assert error < rounding, (path.name, mode, error)
        if colour:
            [photograph] = load_folder(path, colour=True)
            error = abs(photograph.pixels - np.moveaxis(expected, 2, 0)).max()
            assert error < rounding, (path.name, mode, error)
        else:
            with pytest.raises(ValueError, match="it is grey"):
                load_folder(path, colour=True)
        read.add(name)
    assert len(read) >= {"png": 13, "tif": 13, "gif": 8, "ppm": 4, "pgm": 4}.get(suffix, 3), read


DEEP_RGB = np.random.default_rng(4).integers(0, 65536, (H, W, 3)).astype(np.uint16)
DEEP_ALPHA = DEEP[..., None]
A = DEEP_ALPHA / 65535
ON_WHITE = A * DEEP_RGB / 65535 + 1 - A
FLOATS = np.random.default_rng(5).random((H, W, 3)).astype(np.float32)


def with_alpha(colour):
    return np.concatenate([colour, DEEP_ALPHA], axis=2)


@pytest.mark.parametrize(
    ("stored", "how", "expected"),
    [
        (DEEP, {"photometric": "miniswhite"}, 1 - DEEP / 65535),
        (DEEP, {"photometric": "minisblack", "byteorder": ">"}, DEEP / 65535),
        ((DEEP // 2).astype(np.int16), {}, (DEEP // 2) / 32767),
        (DEEP.astype(np.uint32) << 16, {}, DEEP / 65536),
        (DEEP.astype(np.uint64) << 48, {}, DEEP / 65536),
        ((DEEP >> 9).astype(np.int8), {}, (DEEP >> 9) / 127),
        (FLOATS[..., 0].astype(np.float64), {}, FLOATS[..., 0]),
        (FLOATS[..., 0].astype(np.float16), {}, FLOATS[..., 0].astype(np.float16)),
        (FLOATS[..., 0], {"photometric": "miniswhite"}, 1 - FLOATS[..., 0]),
        (DEEP_RGB, {"photometric": "rgb"}, DEEP_RGB / 65535),
        (DEEP_RGB, {"photometric": "rgb", "compression": "zlib"}, DEEP_RGB / 65535),
        (
            np.ascontiguousarray(np.moveaxis(DEEP_RGB, 2, 0)),
            {"photometric": "rgb", "planarconfig": "separate"},
            DEEP_RGB / 65535,
        ),
        (FLOATS, {"photometric": "rgb"}, FLOATS),
        (with_alpha(DEEP_RGB), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, ON_WHITE),
        (
            with_alpha((DEEP_RGB * A).astype(np.uint16)),
            {"photometric": "rgb", "extrasamples": ["assocalpha"]},
            ON_WHITE,
        ),
        (
            with_alpha(DEEP_RGB),
            {"photometric": "rgb", "extrasamples": ["unspecified"]},
            DEEP_RGB / 65535,
        ),
    ],
)
def test_tiff_of_many_bits_keeps_all_of_them(tmp_path, stored, how, expected):
    tifffile.imwrite(tmp_path / "deep.tif", stored, **{"photometric": "minisblack"} | how)
    [photograph] = load_folder(tmp_path, colour=expected.ndim == 3)
    expected = expected if expected.ndim == 2 else np.moveaxis(expected, 2, 0)
    np.testing.assert_allclose(photograph.pixels, expected, atol=2e-5)


def test_white_may_be_zero(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.asarray(GREY), photometric="miniswhite")
    [photograph] = load_folder(tmp_path)
    np.testing.assert_allclose(photograph.pixels, 1 - np.asarray(GREY) / 255, atol=1e-6)


@pytest.mark.parametrize("photometric", ["separated", "cielab"])
def test_tiff_of_other_colours_is_refused_by_their_name(tmp_path, photometric):
    bands = np.zeros((H, W, 3 + (photometric == "separated")), np.float32)
    tifffile.imwrite(tmp_path / "a.tif", bands, photometric=photometric)
    with pytest.raises(ValueError, match=rf"a\.tif.*colours are {photometric.upper()}; convert"):
        load_folder(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    RGB.save(tmp_path / "a.png", exif=exif)
    RGB.save(tmp_path / "b.tif", exif=exif)
    tag = [(0x0112, "H", 1, orientation, True)]
    tifffile.imwrite(
        tmp_path / "c.tif", np.asarray(RGB) / np.float32(255), photometric="rgb", extratags=tag
    )
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image)) / 255
    for photograph in load_folder(tmp_path, colour=True):
        np.testing.assert_allclose(photograph.pixels, np.moveaxis(expected, 2, 0), atol=1e-6)


def test_content_of_other_formats_is_not_opened(tmp_path):
    RGB.save(tmp_path / "drawing.eps")
    (tmp_path / "drawing.eps").rename(tmp_path / "drawing.png")  # would start Ghostscript
    with pytest.raises(ValueError, match=r"drawing\.png.*content is none of AVIF, BMP"):
        load_folder(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it passes over
@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_pictures_are_named_or_read(tmp_path, suffix):
    rng = np.random.default_rng(6)
    outcomes = set()
    damaged = tmp_path / f"damaged.{suffix}"
    for _, path in [*written(tmp_path, suffix)][:20]:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        flipped = data.copy()
        flipped[rng.integers(0, min(len(data), 300), 3)] ^= 0x55
        for changed in (flipped, data[: rng.integers(1, len(data))]):
            damaged.write_bytes(changed.tobytes())
            try:
                [photograph] = load_folder(damaged)
            except ValueError as error:
                assert str(damaged) in str(error)  # noqa: PT017  some can be read
                outcomes.add("named")
            else:
                assert np.isfinite(photograph.pixels).all()
                outcomes.add("read")
    assert "named" in outcomes


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("data", [b"II*\0\0\0\0\0", b"MM\0*\0\0\0\x08", b"\x89PNG\r\n\x1a\n", b""])
def test_files_without_a_picture_are_named(tmp_path, data):
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ValueError, match=r"cannot read image '.*a\.tif': .*(damaged|content is)"):
        load_folder(tmp_path)


def test_a_picture_that_claims_a_vast_size_is_refused(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2000000 2000000 255 abc")
    with pytest.raises(ValueError, match=r"a\.pgm.*exceeds limit"):
        load_folder(tmp_path)


@pytest.mark.parametrize("extra", ["assocalpha", "unassalpha"])
def test_grey_with_alpha_in_tiff(tmp_path, extra):
    alpha = np.asarray(ALPHA)
    grey = np.minimum(np.asarray(GREY), alpha)
    tifffile.imwrite(
        tmp_path / "a.tif", np.stack([grey, alpha], 2),
        photometric="minisblack", planarconfig="contig", extrasamples=[extra],
    )  # fmt: skip
    [photograph] = load_folder(tmp_path)
    grey, alpha = grey / 255, alpha / 255
    expected = (grey if extra == "assocalpha" else alpha * grey) + 1 - alpha
    np.testing.assert_allclose(photograph.pixels, expected, atol=2 / 255)


# ---- which files -------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    GREY.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    for name in ("inner", ".hidden"):
        (tmp_path / name).mkdir()
        RGB.save(tmp_path / name / "c.jpg")
    return tmp_path


def test_unreadable_pictures_are_left_out_if_asked(folder):
    with pytest.raises(ValueError, match=r"cannot read image '.*b\.png'"):
        load_folder(folder)
    with pytest.warns(UserWarning, match=r"cannot read image '.*b\.png'.*left out") as caught:
        assert [p.name for p in load_folder(folder, on_error="warn")] == ["a.png"]
    assert [w.filename for w in caught] == [__file__]
    assert [p.name for p in load_folder(folder, on_error="skip")] == ["a.png"]
    with pytest.raises(ValueError, match="on_error must be one of 'raise', 'warn', 'skip', got 0"):
        load_folder(folder, on_error=0)
    with pytest.raises(ValueError, match=r"no picture that can be read; on_error='raise' says why"):
        load_folder(folder, on_error="skip", colour=True)


def test_a_stream_leaves_unreadable_pictures_out(folder):
    with pytest.warns(UserWarning, match=r"b\.png") as caught:
        assert len(list(stream_folder(folder, passes=3, on_error="warn"))) == 3
    assert len(caught) == 1  # it is not tried again
    assert [w.filename for w in caught] == [__file__]
    (folder / "a.png").unlink()
    with pytest.raises(ValueError, match="no picture that can be read"):
        next(stream_folder(folder, passes=None, on_error="skip"))


def test_subfolders_are_entered_if_asked(folder):
    read = load_folder(folder, recursive=True, on_error="skip")
    assert [p.name for p in read] == ["a.png", "inner/c.jpg"]
    assert {p.source for p in read} == {str(folder)}
    assert len(list(stream_folder(folder, recursive=True, on_error="skip"))) == 2
    (folder / "a.png").unlink()
    (folder / "b.png").unlink()
    with pytest.raises(ValueError, match="holds no picture.*recursive=True for its subfolders"):
        load_folder(folder)


def test_one_picture_is_read_whatever_its_name(folder):
    (folder / "inner" / "c.jpg").rename(folder / "inner" / "photo")
    [photograph] = load_folder(folder / "inner" / "photo")
    assert photograph.name == "photo"
    assert photograph.source == str(folder / "inner")
    [x] = stream_folder(folder / "inner" / "photo", colour=True)
    assert x.shape == (1, 3, H, W)


def test_large_pictures_are_reduced(tmp_path):
    rows, columns = np.mgrid[:300, :100] / 300
    waves = 0.5 + 0.25 * np.sin(2 * np.pi * rows) + 0.25 * np.cos(2 * np.pi * 150 * columns)
    Image.fromarray((255 * np.stack([waves, rows, columns], 2)).astype(np.uint8)).save(
        tmp_path / "large.png"
    )
    GREY.save(tmp_path / "small.png")
    large, small = load_folder(tmp_path, longest=60)
    assert large.pixels.shape == (60, 20)
    np.testing.assert_array_equal(small.pixels, load_folder(tmp_path)[1].pixels)
    [colour] = load_folder(tmp_path / "large.png", longest=60, colour=True)
    coarse = (np.arange(60) + 0.5) / 60
    inner = colour.pixels[:, 3:-3, 3:-3]
    # what is finer than two pixels is gone, the rest lies where it lay
    sine = 0.5 + 0.25 * np.sin(2 * np.pi * coarse)[3:-3, None] * np.ones(14)
    np.testing.assert_allclose(inner[0], sine, atol=0.01)
    np.testing.assert_allclose(inner[1], coarse[3:-3, None] * np.ones(14), atol=0.01)
    assert 0 <= colour.pixels.min() < colour.pixels.max() <= 1
    [x] = stream_folder(tmp_path / "large.png", longest=60)
    np.testing.assert_array_equal(x[0, 0], large.pixels)
    with pytest.raises(ValueError, match="longest must be >= 1"):
        load_folder(tmp_path, longest=0)
