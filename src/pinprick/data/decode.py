"""From encoded image bytes to ``(C, H, W)`` uint8, and back to PNG."""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError

from pinprick.data.image_set import Image, shape_text
from pinprick.errors import InputError

MAX_PIXELS = 89_478_485
"""Height times width that is still decoded: Pillow's own limit, kept even where a program has lifted it."""

# Only formats that are plain pixels: Pillow can read many more, among them EPS, which starts Ghostscript. (MPO comes
# with JPEG.)
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

# Python's warning filters belong to the process, not to the thread: two threads that change them at once could leave
# them changed for good.
_filters = threading.Lock()

_TIFF_BITS_PER_SAMPLE = 258


def decode_image(data: bytes, name: str) -> Image:
    """Decode one image file (PNG, JPEG, BMP, GIF, TIFF, WebP, PPM or PGM).

    Converted: gray and black-and-white stay gray (1 channel); palette, CMYK and YCbCr become RGB (3 channels, colour
    profiles are not applied); an alpha channel or transparent colour of which no pixel makes use is dropped; the
    EXIF orientation is applied; of a JPEG with several pictures in it (MPO, as phones write) the first is taken.

    Refused: everything below.

    Parameters
    ----------
    data : the bytes of the file.
    name : how errors call the image.

    Returns
    -------
    ``(C, H, W)`` uint8, 0 .. 255, C = 1 or 3; an array of its own, free to be written to.

    Raises
    ------
    InputError : empty, not one of these formats, cut off or damaged, animated or of several pages, with pixels that
        are not opaque, more than 8 bits a channel, or more than ``MAX_PIXELS`` pixels.
    """
    what = f"image {name!r}"
    if not data:
        raise InputError(what, "the file is empty (0 bytes)", "Give an image file.")
    try:
        with _filters, warnings.catch_warnings():
            # What Pillow only warns of is either checked here (the size) or no concern of ours (odd metadata).
            warnings.simplefilter("ignore")
            return _decoded(data, what)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(
            what, "not an image that can be read", "Give PNG, JPEG, BMP, GIF, TIFF, WebP, PPM or PGM."
        ) from None
    except PILImage.DecompressionBombError:
        raise _too_large(what) from None
    except Exception as error:  # damaged bytes make Pillow raise nearly anything, struct.error and KeyError included
        reason = str(error).strip() or type(error).__name__
        raise InputError(what, f"cannot be decoded ({reason})", "The file may be cut off; copy it anew.") from None


def _decoded(data: bytes, what: str) -> Image:
    with PILImage.open(io.BytesIO(data), formats=_FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(what)
        if picture.width * picture.height == 0:
            raise InputError(what, "it has no pixels", "Give an image of at least 1 x 1.")
        if picture.format != "MPO" and getattr(picture, "is_animated", False):
            raise InputError(what, "it is animated or has several pages", "Give a still image.")
        if _is_deep(picture, data):
            raise InputError(what, "it has more than 8 bits a channel", "Convert it to 8 bits first.")
        picture.load()
        flat = _flattened(ImageOps.exif_transpose(picture), what)
    array = np.array(flat, dtype=np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _is_deep(picture: PILImage.Image, data: bytes) -> bool:
    """More than 8 bits a channel? Pillow opens 16-bit colour as 8-bit and says nothing, so the header is asked."""
    if picture.mode.startswith(("I", "F")):
        return True
    if picture.format == "PNG":
        return data[24] > 8  # the bit depth in IHDR, which is always the first chunk
    if picture.format == "TIFF":
        bits = getattr(picture, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE, (1,))
        return bool(max(bits if isinstance(bits, tuple) else (bits,)) > 8)
    if picture.format == "PPM":
        for tile in getattr(picture, "tile", []):
            if isinstance(tile[3], tuple) and any(isinstance(value, int) and value > 255 for value in tile[3]):
                return True
    return False


def _flattened(picture: PILImage.Image, what: str) -> PILImage.Image:
    """The picture as gray or RGB; refuses pixels that are not opaque."""
    is_gray = picture.mode in ("1", "L", "LA", "La")
    mode = "L" if is_gray else "RGB"
    if not picture.has_transparency_data:
        return picture.convert(mode)
    with_alpha = picture.convert("RGBA")
    if np.asarray(with_alpha.getchannel("A")).min() < 255:
        raise InputError(what, "it has transparent pixels", "Flatten it onto a background first.")
    # An opaque gray pixel has R = G = B, so its red channel is the gray image, unrounded.
    return with_alpha.getchannel("R") if is_gray else with_alpha.convert("RGB")


def _too_large(what: str) -> InputError:
    return InputError(what, f"too large to decode safely (more than {MAX_PIXELS:,} pixels)", "Resize it first.")


def encode_png(image: Image) -> bytes:
    """PNG bytes of an image ``(C, H, W)`` uint8 with 1 or 3 channels; lossless.

    Raises
    ------
    InputError : not uint8, or not of 1 or 3 channels: what PNG would not give back as it was.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3):
        raise InputError(
            "image", f"{image.dtype} of shape {shape_text(image)}", "PNG takes uint8 (C, H, W) with 1 or 3 channels."
        )
    array = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    PILImage.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG")
    return buffer.getvalue()
