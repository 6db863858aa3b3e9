import io
import threading
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ci import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, large_in_name, noise
from PIL import ExifTags, Image

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import images
from aibench_fast.tensors._pixels import area_scale_image, area_scale_rgb, convert_u8_to_f32
from aibench_fast.tensors.images import (
    Crop,
    PixelBudget,
    draw_crop,
    load_scaled,
    scaled_size,
    to_tensor,
)

sides = st.integers(1, 60)


def turned_by(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def load(data: bytes, smaller_side: int = 256) -> np.ndarray:
    return load_scaled(data, smaller_side, PixelBudget())


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(97, 65), (640, 480), (33, 100)])
def test_a_jpeg_has_the_pixels_that_pillow_decodes(
    size: tuple[int, int], subsampling: str, progressive: bool
) -> None:
    picture = noise(30, 20).resize(size)
    data = encode(picture, "JPEG", subsampling=subsampling, progressive=progressive)
    same_size = load(data, min(size))
    np.testing.assert_array_equal(same_size, np.asarray(Image.open(io.BytesIO(data))))


def test_a_jpeg_with_harmless_faults_is_taken() -> None:
    data = encode(noise(64, 48), "JPEG")
    odd = data[:2] + b"\xff\xfe\x00\x02" + data[2:-2] + b"\x00\x00" + data[-2:] + b"after the end"
    np.testing.assert_array_equal(load(odd, 48), load(data, 48))


def coverage(in_n: int, out_n: int) -> np.ndarray:
    """The share of each output pixel that each input pixel covers: out_n x in_n; rows sum to 1."""
    edges = np.arange(out_n + 1) * in_n
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(in_n) * out_n
    overlap = np.minimum(ends, pixels + out_n) - np.maximum(starts, pixels)
    return np.maximum(overlap, 0) / in_n


@given(in_height=sides, in_width=sides, out_height=sides, out_width=sides, seed=st.integers(0, 99))
def test_area_scaling_is_the_mean_of_what_is_covered(
    in_height: int, in_width: int, out_height: int, out_width: int, seed: int
) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (in_height, in_width, 3), dtype=np.uint8)
    scaled = np.empty((out_height, out_width, 3), np.uint8)
    area_scale_rgb(picture, scaled)
    rows, columns = coverage(in_height, out_height), coverage(in_width, out_width)
    # One axis after the other: all at once take so long that hypothesis gives up on a busy machine.
    exact = np.einsum("yi,ijc,xj->yxc", rows, picture, columns, optimize=True)
    assert np.abs(scaled - exact).max() <= 0.501


@given(in_height=sides, in_width=sides, seed=st.integers(0, 99))
def test_an_image_is_scaled_as_its_array_is(in_height: int, in_width: int, seed: int) -> None:
    image = noise(in_width, in_height, seed)
    scaled, same = np.empty((2, 20, 30, 3), np.uint8)
    area_scale_rgb(np.asarray(image), scaled)
    area_scale_image(image, same)
    np.testing.assert_array_equal(same, scaled)


def test_area_scaling_refuses_what_is_no_picture() -> None:
    good = np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(ValueError, match="no pixels"):
        area_scale_rgb(np.zeros((0, 2, 3), np.uint8), good)
    with pytest.raises(ValueError, match="4 channels"):
        area_scale_rgb(np.zeros((2, 2, 4), np.uint8), good)
    with pytest.raises(ValueError, match="2 x 0 x 3 is not an RGB picture"):
        area_scale_rgb(good, np.zeros((2, 0, 3), np.uint8))
    for mode in ("L", "RGBA", "CMYK"):
        with pytest.raises(ValueError, match=f"mode {mode}"):
            area_scale_image(Image.new(mode, (2, 2)), good)


def test_a_picture_in_several_pieces() -> None:
    wide = Image.new("RGB", (20_000, 1000), (10, 20, 30))
    with pytest.raises(ValueError, match="not contiguous"):
        wide.__arrow_c_array__()
    picture = load(encode(wide, compress_level=1), 300)
    assert picture.shape == (300, 6000, 3)
    np.testing.assert_array_equal(np.unique(picture.reshape(-1, 3), axis=0), [(10, 20, 30)])


@given(count=st.integers(0, 300))
def test_conversion_is_a_product_and_a_sum(count: int) -> None:
    values = (np.arange(count) % 256).astype(np.uint8)
    out = np.full(count, np.nan, np.float32)
    convert_u8_to_f32(values, out, 1 / 255, -0.5)
    expected = values.astype(np.float32) * np.float32(1 / 255) + np.float32(-0.5)
    np.testing.assert_array_equal(out, expected)


def test_conversion_refuses_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="3 values for an array of 4"):
        convert_u8_to_f32(np.zeros(3, np.uint8), np.zeros(4, np.float32), 1, 0)


@pytest.mark.parametrize("value_range", ["0..1", "-1..1"])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_tensor_values(layout: str, value_range: str) -> None:
    picture = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(picture, layout, value_range)
    unit = picture / 255
    expected = unit if value_range == "0..1" else unit * 2 - 1
    np.testing.assert_allclose(
        tensor if layout == "nhwc" else tensor.transpose(1, 2, 0), expected, atol=2e-7
    )
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    low = 0.0 if value_range == "0..1" else -1.0
    assert (tensor.min(), tensor.max()) == (low, 1.0)


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_scaled_size(width: int, height: int) -> None:
    smaller = min(width, height)
    assert scaled_size(width, height, 256) == (
        int(width * 256 / smaller),
        int(height * 256 / smaller),
    )
    assert min(scaled_size(width, height, 256)) == 256


def test_crops_are_the_generators_x_then_y() -> None:
    generator = np.random.RandomState(12345)
    drawn = [draw_crop(generator, 341, 256, 224) for _ in range(3)]
    np.random.seed(12345)
    assert drawn == [
        Crop(x=np.random.randint(0, 341 - 224), y=np.random.randint(0, 256 - 224)) for _ in range(3)
    ]


def test_no_number_is_drawn_where_there_is_no_room() -> None:
    generator, untouched = np.random.RandomState(7), np.random.RandomState(7)
    assert draw_crop(generator, 224, 224, 224) == Crop(0, 0)
    assert draw_crop(generator, 224, 300, 224) == Crop(0, untouched.randint(0, 76))
    assert draw_crop(generator, 300, 224, 224) == Crop(untouched.randint(0, 76), 0)


# Left to right black to white, upper half blue.
MARKED = np.zeros((300, 400, 3), np.uint8)
MARKED[..., :2] = np.linspace(0, 255, 400, dtype=np.uint8)[None, :, None]
MARKED[:150, :, 2] = 255


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_upright(form: str, orientation: int) -> None:
    upright = Image.fromarray(MARKED)
    turns = {  # what was done to the upright picture for a camera to say so
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for turn in turns[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    data = encode(stored, form, exif=exif, **options)
    picture = load(data)
    assert picture.shape == (256, 341, 3)
    assert images.scaled_size_of(data, 256) == ((341, 256) if form == "JPEG" else None)
    assert np.abs(picture.astype(int) - load(encode(upright)).astype(int)).mean() < 2


GREY_VALUE, WHITE = 77, 255


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(Image.new("L", (300, 300), GREY_VALUE)), (77, 77, 77)),
        (encode(Image.new("1", (300, 300), 1)), (255, 255, 255)),
        (encode(Image.new("LA", (300, 300), (GREY_VALUE, 255))), (77, 77, 77)),
        (encode(Image.new("LA", (300, 300), (GREY_VALUE, 0))), (255, 255, 255)),
        (encode(Image.new("RGBA", (300, 300), (10, 20, 30, 255))), (10, 20, 30)),
        (encode(Image.new("RGBA", (300, 300), (0, 0, 0, 0))), (255, 255, 255)),
        (encode(Image.new("RGBA", (3000, 3000)), compress_level=1), (255, 255, 255)),
        (encode(Image.new("RGB", (300, 300), (10, 20, 30)).quantize(2)), (10, 20, 30)),
        (encode(Image.new("RGB", (300, 300), (10, 20, 30)), transparency=(10, 20, 30)), (255,) * 3),
        (encode(Image.new("CMYK", (300, 300), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        (encode(Image.new("I;16", (300, 300), 0x4DFF)), (0x4D, 0x4D, 0x4D)),
        (encode(Image.new("I;16", (300, 300), 0x4DFF), "TIFF"), (0x4D, 0x4D, 0x4D)),
        (encode(Image.new("RGB", (300, 300), (10, 20, 30)), "GIF"), (10, 20, 30)),
    ],
    ids=[
        "grey", "bilevel", "grey opaque", "grey transparent", "opaque", "transparent",
        "large transparent", "palette", "transparent colour", "CMYK TIFF", "16-bit PNG",
        "16-bit TIFF", "GIF",
    ],
)  # fmt: skip
def test_kinds_of_pixel(data: bytes, expected: tuple[int, int, int]) -> None:
    picture = load(data)
    assert picture.shape == (256, 256, 3)
    np.testing.assert_array_equal(np.unique(picture.reshape(-1, 3), axis=0), [expected])


def test_cmyk_jpeg_is_not_inverted() -> None:
    picture = load(encode(Image.new("CMYK", (300, 300), (0, 255, 255, 0)), "JPEG", quality=95))
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), (255, 0, 0), atol=3)


def test_16_bit_colour_keeps_the_upper_bits() -> None:
    # Pillow writes none: a PNG by hand, 1 x 1, 16 bits a channel.
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    row = b"\0" + struct.pack(">HHH", 0x10FF, 0x2080, 0x3000)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(load(data)[0, 0], (0x10, 0x20, 0x30))


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((1, 1), (256, 256)),
        ((40, 30), (341, 256)),
        ((6000, 200), (7680, 256)),
        ((200, 2000), (256, 2560)),
    ],
)
def test_small_and_long_pictures_are_scaled_by_the_smaller_side(
    size: tuple[int, int], scaled: tuple[int, int]
) -> None:
    assert load(encode(Image.new("RGB", size))).shape == (scaled[1], scaled[0], 3)


@cache
def large_photograph() -> Image.Image:
    """12 megapixels with detail of every size, as a camera gives."""
    generator = np.random.default_rng(3)
    picture = np.zeros((3024, 4032, 3))
    for detail in (4, 16, 64, 256):
        small = Image.fromarray(
            generator.integers(0, 256, (3024 // detail, 4032 // detail, 3), dtype=np.uint8)
        )
        picture += np.asarray(small.resize((4032, 3024), Image.Resampling.BICUBIC), float) / 4
    return Image.fromarray(picture.astype(np.uint8))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_large_pictures_made_smaller_first_stay_close_to_plain_area_averaging(form: str) -> None:
    options = {"compress_level": 1} if form == "PNG" else {}
    data = encode(large_photograph(), form, **options)
    with Image.open(io.BytesIO(data)) as image:
        plain = np.empty((256, 341, 3), np.uint8)
        area_scale_rgb(np.asarray(image.convert("RGB")), plain)
    assert np.abs(load(data).astype(int) - plain).mean() < 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not an image of a supported kind"),
        (b"words, and no picture", "is not an image of a supported kind"),
        (encode(noise(300, 300), "JPEG")[:5000], "truncated"),
        (encode(noise(300, 300))[:5000], "cannot be decoded"),
        (encode(Image.new("F", (300, 300)), "TIFF"), "floating-point"),
        (large_in_name(12_000, 12_000), "is 12,000 x 12,000, more than the 50,000,000"),
        (large_in_name(40_000, 40_000), "pixels"),
        (encode(Image.new("L", (50_000, 4))), "once scaled"),
    ],
    ids=["empty", "text", "cut JPEG", "cut PNG", "float", "large", "bomb", "thin"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_photograph_gives_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as raised:
        load(data)
    assert "\n" not in str(raised.value)


END = b"\xff\xd9"
FORMS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 7},
    "turned": {"exif": turned_by(6)},
    "large": {},
    "grey": {},
    "CMYK": {},
    "two in one file": {},
}
"""The first three simplejpeg decodes, the others Pillow."""


def jpeg(form: str) -> bytes:
    picture = noise(40, 30).resize((2400, 1800) if form == "large" else (400, 300))
    if form == "two in one file":
        return encode(picture, "MPO", save_all=True, append_images=[picture])
    picture = picture.convert({"grey": "L", "CMYK": "CMYK"}.get(form, "RGB"))
    return encode(picture, "JPEG", quality=90, **FORMS[form])


def first_end(data: bytes) -> int:
    """Where the first picture's end marker is."""
    return data.index(END, data.index(b"\xff\xda"))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.95])
@pytest.mark.parametrize("form", FORMS)
def test_a_jpeg_that_ends_early_is_refused_with_an_end_marker_too(form: str, share: float) -> None:
    whole = jpeg(form)
    end = first_end(whole)
    data_begins = whole.index(b"\xff\xda")
    cut = whole[: data_begins + int((end - data_begins) * share)]
    load(whole, 64)
    for data in (cut, cut + END, cut + bytes(100) + END, cut + whole[end:]):
        with pytest.raises(ConfigError, match=r"is damaged, so that a part is missing|truncated"):
            load(data, 64)


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    whole = jpeg("progressive")
    scans = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for scan in scans[1:]:
        with pytest.raises(ConfigError, match="scans of a progressive JPEG"):
            load(whole[:scan] + END, 64)


@pytest.mark.parametrize("form", FORMS)
def test_bytes_too_many_do_no_harm(form: str) -> None:
    whole = jpeg(form)
    end = first_end(whole)
    for data in (whole + b"trailing", whole[:end] + b"more" + whole[end:]):
        assert np.array_equal(load(data, 64), load(whole, 64))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about what is broken
@settings(max_examples=examples(50), deadline=None)
@given(data=st.data())
def test_broken_bytes_give_a_picture_or_the_reason(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"]))
    good = bytearray(encode(noise(20, 20), form))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = load(bytes(good))
    except ConfigError:
        return
    assert min(picture.shape[:2]) == 256


def test_pictures_beyond_the_budget_wait_for_each_other() -> None:
    budget = PixelBudget(100)
    held = 0
    most = 0
    lock = threading.Lock()

    def decode(pixels: int) -> None:
        nonlocal held, most
        with budget.take(pixels):
            with lock:
                held += pixels
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= pixels

    threads = [threading.Thread(target=decode, args=(40,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 100


def test_a_picture_larger_than_the_budget_is_decoded_alone() -> None:
    budget = PixelBudget(100)
    with budget.take(1000):
        waiting = threading.Thread(target=lambda: budget.take(1).__enter__())
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_close_to_opencv(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    from aibench_fast.tensors.photographs import open_input

    with open_input("sample") as samples:
        for sample in samples:
            path = tmp_path / "photograph.jpg"
            with Image.open(io.BytesIO(sample.read())) as image:
                image.convert("RGB").resize((640, 480)).save(path, quality=92)
            picture = cv2.resize(cv2.imread(str(path)), (341, 256), interpolation=cv2.INTER_AREA)
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            ours = load(path.read_bytes())
            assert np.abs(ours.astype(int) - rgb.astype(int)).mean() < 0.1, sample.name
