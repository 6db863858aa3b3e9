"""Loops over pixels: checks here, then the C in tensors/native/ without the GIL."""

from libc.stdint cimport uint8_t
from cpython.pycapsule cimport PyCapsule_GetPointer


def convert_u8_to_f32(const uint8_t[::1] src, float[::1] out, float scale, float offset):
    """Fill `out` with `src * scale + offset`; ValueError if their lengths differ."""
    if src.shape[0] != out.shape[0]:
        raise ValueError(f"{src.shape[0]} values for an array of {out.shape[0]}")
    if src.shape[0] == 0:
        return
    with nogil:
        c_convert_u8_to_f32(&src[0], &out[0], src.shape[0], scale, offset)


def area_scale_rgb(const uint8_t[:, :, ::1] src, uint8_t[:, :, ::1] out):
    """Fill `out` with `src` scaled by area averaging; both height x width x 3.

    ValueError if a picture is empty or does not have 3 channels.
    """
    if 0 in (src.shape[0], src.shape[1]):
        raise ValueError("a picture has no pixels")
    if src.shape[2] != 3:
        raise ValueError(f"a picture has {src.shape[2]} channels: 3 are needed")
    _area_scale(&src[0, 0, 0], src.shape[1], src.shape[0], 3, out)


def area_scale_image(image, uint8_t[:, :, ::1] out):
    """Fill `out`, height x width x 3, with a Pillow image of mode RGB, without a copy of it.

    Raises what Pillow raises if the image is not contiguous; ValueError if it is not RGB.
    """
    cdef ArrowArray *array
    cdef ArrowArray *values
    width, height = image.size
    schema, capsule = image.__arrow_c_array__()
    array = <ArrowArray *>PyCapsule_GetPointer(capsule, "arrow_array")
    if image.mode != "RGB" or array.n_children != 1 or width * height == 0:
        raise ValueError(f"an image of mode {image.mode}, {width} x {height}, is not an RGB picture")
    values = array.children[0]
    if values.n_buffers != 2 or values.offset != 0 or values.length != width * height * 4:
        raise ValueError(f"{values.length} bytes for {width} x {height} pixels of 4 bytes")
    # `capsule` keeps the pixels in place until this returns.
    _area_scale(<const uint8_t *>values.buffers[1], width, height, 4, out)


cdef _area_scale(
    const uint8_t *src, size_t width, size_t height, size_t pixel_bytes, uint8_t[:, :, ::1] out
):
    cdef int status
    if 0 in (out.shape[0], out.shape[1]) or out.shape[2] != 3:
        raise ValueError(f"{out.shape[0]} x {out.shape[1]} x {out.shape[2]} is not an RGB picture")
    with nogil:
        status = c_area_scale_rgb(
            src, width, height, pixel_bytes, &out[0, 0, 0], out.shape[1], out.shape[0])
    if status != 0:
        raise MemoryError(f"not enough memory to scale a picture {width} pixels wide")
