"""Decoding image files: what is converted, what is refused, and that damage never ends in anything but InputError."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PILImage

from pinprick.data import decode
from pinprick.data.decode import decode_image, encode_png
from pinprick.data.image_set import Image
from pinprick.errors import InputError
from tests.data.helpers import picture, saved

RGB = picture(1)
GRAY = picture(2, channels=1)


def pil(image: Image) -> PILImage.Image:
    return PILImage.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


@st.composite
def images(draw: st.DrawFn) -> Image:
    shape = (draw(st.sampled_from([1, 3])), draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    pixels: Image = draw(hnp.arrays(np.uint8, shape))
    return pixels


@given(images())
def test_png_round_trip_is_lossless(image: Image) -> None:
    back = decode_image(encode_png(image), "x")
    assert back.dtype == np.uint8
    assert np.array_equal(back, image)
    back[:] = 0  # an array of its own


@pytest.mark.parametrize("shape", [(4, 2, 2), (2, 2), (2, 2, 2)])
def test_encode_png_refuses_other_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="1 or 3 channels"):
        encode_png(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_give_the_pixels_back(form: str) -> None:
    assert np.array_equal(decode_image(saved(pil(GRAY), form), "x").max(axis=0), GRAY[0])
    if form != "GIF":
        assert np.array_equal(decode_image(saved(pil(RGB), form), "x"), RGB)


def test_webp_and_jpeg_are_read() -> None:
    assert np.array_equal(decode_image(saved(pil(RGB), "WEBP", lossless=True), "x"), RGB)
    assert decode_image(saved(pil(RGB), "JPEG"), "x").shape == RGB.shape
    assert decode_image(saved(pil(GRAY), "JPEG"), "x").shape == GRAY.shape


def test_palette_cmyk_and_black_and_white_are_converted() -> None:
    paletted = pil(RGB).quantize(16)
    expected = np.asarray(paletted.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(decode_image(saved(paletted, "PNG"), "x"), expected)
    assert decode_image(saved(pil(RGB).convert("CMYK"), "JPEG"), "x").shape == RGB.shape
    binary = decode_image(saved(pil(GRAY).convert("1"), "PNG"), "x")
    assert binary.shape == GRAY.shape
    assert set(np.unique(binary)) <= {0, 255}


def test_opaque_alpha_is_dropped() -> None:
    rgba = pil(RGB).convert("RGBA")
    assert np.array_equal(decode_image(saved(rgba, "PNG"), "x"), RGB)
    assert np.array_equal(decode_image(saved(pil(GRAY).convert("LA"), "PNG"), "x"), GRAY)
    flat = PILImage.new("RGB", (3, 3), (1, 2, 3))  # a transparent colour that no pixel has
    assert decode_image(saved(flat, "PNG", transparency=(9, 9, 9)), "x")[:, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_refused(mode: str) -> None:
    see_through = pil(RGB).convert(mode)
    see_through.putalpha(254)
    with pytest.raises(InputError, match=r"image 'x'.*transparent"):
        decode_image(saved(see_through, "PNG"), "x")


def test_transparent_colour_in_use_is_refused() -> None:
    with pytest.raises(InputError, match="transparent"):
        decode_image(saved(PILImage.new("RGB", (3, 3), (1, 2, 3)), "PNG", transparency=(1, 2, 3)), "x")
    with pytest.raises(InputError, match="transparent"):
        decode_image(saved(pil(RGB).quantize(4), "GIF", transparency=0), "x")


def png_of(bits: int, colour: int, width: int, height: int, raw: bytes) -> bytes:
    """A PNG written by hand, for depths that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


SIXTEEN_BIT = {
    "gray PNG": png_of(16, 0, 2, 1, bytes(5)),
    "RGB PNG": png_of(16, 2, 2, 1, bytes(13)),
    "RGBA PNG": png_of(16, 6, 2, 1, b"\0" + b"\xff" * 16),
    "gray TIFF": saved(PILImage.new("I;16", (2, 2)), "TIFF"),
    "float TIFF": saved(PILImage.new("F", (2, 2)), "TIFF"),
    "RGB PPM": b"P6 2 1 65535\n" + bytes(12),
    "gray PGM": b"P5 2 1 1023\n" + bytes(4),
}


@pytest.mark.parametrize("kind", SIXTEEN_BIT)
def test_more_than_8_bits_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match="more than 8 bits"):
        decode_image(SIXTEEN_BIT[kind], "x")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(form: str) -> None:
    frames = [pil(RGB), pil(picture(5))]
    with pytest.raises(InputError, match="animated or has several pages"):
        decode_image(saved(frames[0], form, save_all=True, append_images=frames[1:]), "x")


def test_first_picture_of_an_mpo_is_taken() -> None:
    data = saved(pil(RGB), "MPO", save_all=True, append_images=[pil(picture(5))])
    assert decode_image(data, "x").shape == RGB.shape


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied(form: str) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    white_left = np.zeros((3, 8, 16), dtype=np.uint8)
    white_left[:, :, :8] = 255
    turned = decode_image(saved(pil(white_left), form, exif=exif), "x")
    assert turned.shape == (3, 16, 8)
    assert turned[:, :7].min() > 200
    assert turned[:, 9:].max() < 50


def test_empty_truncated_and_foreign_files() -> None:
    with pytest.raises(InputError, match="empty"):
        decode_image(b"", "x")
    for form in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM"):
        whole = saved(pil(picture(3, height=64, width=64)), form)
        with pytest.raises(InputError, match=r"cannot be decoded|not an image"):
            decode_image(whole[: len(whole) // 2], "x")
    with pytest.raises(InputError, match="not an image"):
        decode_image(b"just some text", "notes.txt")
    with pytest.raises(InputError, match="not an image"):  # EPS would start Ghostscript
        decode_image(saved(pil(RGB), "EPS"), "x")


def test_huge_images_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="too large"):
        decode_image(png_of(8, 0, 60_000, 60_000, b""), "x")
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", None)  # a program that lifted Pillow's limit
    with pytest.raises(InputError, match="too large"):
        decode_image(png_of(8, 0, 10_000, 10_000, b""), "x")
    monkeypatch.setattr(decode, "MAX_PIXELS", 48)
    assert decode_image(encode_png(RGB), "x").shape == RGB.shape
    monkeypatch.setattr(decode, "MAX_PIXELS", 47)
    with pytest.raises(InputError, match="too large"):
        decode_image(encode_png(RGB), "x")


def test_filters_for_warnings_stay_as_they_were() -> None:
    before = list(warnings.filters)
    decode_image(encode_png(RGB), "x")
    assert warnings.filters == before


WHOLE = [saved(pil(RGB), form) for form in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")]
WHOLE += [saved(pil(RGB).quantize(4), "PNG"), saved(pil(RGB), "TIFF", compression="tiff_lzw")]


@settings(max_examples=300, deadline=None)
@given(
    whole=st.sampled_from(WHOLE),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 10_000),
    more=st.binary(max_size=8),
)
def test_damaged_bytes_raise_nothing_but_input_error(
    whole: bytes, changes: list[tuple[int, int]], cut: int, more: bytes
) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    damaged = bytes(data[: len(data) - cut % (2 * len(data))] if cut % 2 else data) + more
    try:
        image = decode_image(damaged, "x")
    except InputError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[0] in (1, 3)


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_input_error(data: bytes) -> None:
    with contextlib.suppress(InputError):
        decode_image(data, "x")


def test_what_is_decoded_is_not_tied_to_the_file() -> None:
    buffer = io.BytesIO(encode_png(GRAY))
    image = decode_image(buffer.getvalue(), "x")
    assert image.flags.writeable
    assert image.flags.c_contiguous
