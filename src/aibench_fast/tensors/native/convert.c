#include "convert.h"

#include "vectorise.h"

VECTORISE
void convert_u8_to_f32(const uint8_t *restrict in, float *restrict out, size_t n, float scale,
                       float offset)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)in[i] * scale + offset;
}
