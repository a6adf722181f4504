"""Read one image file with Pillow, or with tifffile where Pillow would truncate to 8 bits."""

from io import BytesIO

import numpy as np

VAN_HATEREN = (".iml", ".imc")
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
    *(".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    *VAN_HATEREN,
)
_BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLE_FORMAT = 258, 262, 274, 339  # tags of TIFF
_WHITE_IS_ZERO, _SIGNED = 0, 2
_UPRIGHT = {  # by the orientation tag of the file
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def decoded(data, suffix):
    """Return float64 in [0, 1], ``(H, W)`` or ``(H, W, 3)``, transparent pixels composited on white."""
    if suffix.lower() in VAN_HATEREN:
        return np.frombuffer(data, dtype=">u2").reshape(1024, 1536) / 65535
    pixels = np.asarray(_decoded(data), dtype=np.float64)
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN fails this test too
        raise ValueError("values outside [0, 1], or NaN; rescale them")
    return pixels


def _decoded(data):
    from PIL import Image, UnidentifiedImageError

    try:  # only these formats: others run programs or render vector graphics
        image = Image.open(BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        if data[:2] in (b"II", b"MM"):
            return _by_tifffile(data)
        raise ValueError(f"its content is none of {', '.join(_FORMATS)}") from None
    with image:
        tags = image.tag_v2 if image.format == "TIFF" else {}
        bits = tags.get(_BITS, ())
        if bits == (8,) and _signed(tags):  # Pillow reads them as unsigned
            return _by_tifffile(data)
        if len(bits) > 1 and max(bits) > 8:
            try:
                return _by_tifffile(data)
            except ValueError:  # a compression or colour space that only Pillow supports
                pass
        return _by_pillow(image, tags)


def _by_pillow(image, tags):
    from PIL import ImageOps

    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode[0] in "IF":
        return _grey_of_many_bits(image, tags)
    if image.mode == "LAB":
        raise ValueError("its colours are CIE L*a*b*; convert it to RGB")
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if not image.has_transparency_data:
        return np.asarray(image.convert(mode)) / 255
    pixels = np.asarray(image.convert(mode + "A")) / 255
    return _on_white(pixels[..., :-1], pixels[..., -1:])


def _grey_of_many_bits(image, tags):
    """Return scaled pixels of the modes I, I;16 and F, which Pillow does not scale."""
    pixels, top = np.asarray(image), 1 if image.mode == "F" else 65535
    if tags and image.mode != "F":
        bits, signed = tags[_BITS][0], _signed(tags)
        top = 2.0 ** (bits - signed) - 1
        if bits == 32 and not signed:
            pixels = pixels.view(np.uint32)  # Pillow has no mode for unsigned 32-bit pixels
    scaled = pixels / top
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = 1 - scaled
    if "transparency" in image.info:  # the value that means transparent
        scaled = np.where(pixels == image.info["transparency"], 1.0, scaled)
    return scaled


def _signed(tags):
    return tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED


def _by_tifffile(data):
    """Read the pixels of a TIFF file in the stored precision."""
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as file:
        if not len(file.pages):
            raise ValueError("it is damaged: it has no page")
        page = file.pages[0]
        colours = getattr(page.photometric, "name", page.photometric)
        if colours not in ("MINISWHITE", "MINISBLACK", "RGB"):
            raise ValueError(f"its colours are {colours}; convert it to RGB")
        pixels, extras = page.asarray(), page.extrasamples
        orientation = page.tags.valueof(_ORIENTATION, 1)
        bits, white_is_zero = page.bitspersample, colours == "MINISWHITE"
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
    pixels = _UPRIGHT.get(orientation, np.asarray)(pixels)
    bands = np.atleast_3d(pixels)
    n = bands.shape[2] - len(extras)
    if bands.ndim != 3 or n not in (1, 3) or len(extras) > 1:
        raise ValueError(f"shape {pixels.shape} is not one image (H, W[, channels]); split it")
    if bands.dtype.kind in "iu":
        bands = bands / (2.0 ** (bits - (bands.dtype.kind == "i")) - 1)
    colour, alpha = bands[..., :n], bands[..., n:]
    if white_is_zero:
        colour = 1 - colour
    if not extras or extras[0] == 0:  # of unknown meaning
        return colour[..., 0] if n == 1 else colour
    return _on_white(colour, alpha, premultiplied=extras[0] == 1)


def _on_white(colour, alpha, *, premultiplied=False):
    laid = (colour if premultiplied else alpha * colour) + (1 - alpha)
    return laid[..., 0] if laid.shape[2] == 1 else laid
