from libc.stdint cimport int64_t, uint8_t


cdef extern from "convert.h" nogil:
    void c_convert_u8_to_f32 "convert_u8_to_f32"(
        const uint8_t *src, float *out, size_t n, float scale, float offset)


cdef extern from "area.h" nogil:
    int c_area_scale_rgb "area_scale_rgb"(
        const uint8_t *src, size_t in_width, size_t in_height, size_t in_pixel_bytes,
        uint8_t *out, size_t out_width, size_t out_height)


# The part of the Arrow C data interface that is read here; its layout never changes.
cdef extern from *:
    """
    struct ArrowArray {
        int64_t length, null_count, offset, n_buffers, n_children;
        const void **buffers;
        struct ArrowArray **children;
        struct ArrowArray *dictionary;
        void (*release)(struct ArrowArray *);
        void *private_data;
    };
    """
    struct ArrowArray:
        int64_t length
        int64_t offset
        int64_t n_buffers
        int64_t n_children
        const void **buffers
        ArrowArray **children
