#include "stringdata.h"

#include <limits.h>
#include <string.h>

static size_t length_at(const char *place)
{
    size_t length = 0;
    for (size_t i = STRING_LENGTH_BYTES; i > 0; i--)
        length = length << CHAR_BIT | (unsigned char)place[i - 1];
    return length;
}

int64_t stringdata_count(const char *tensor, size_t bytes)
{
    int64_t count = 0;
    while (bytes >= STRING_LENGTH_BYTES) {
        size_t length = length_at(tensor);
        bytes -= STRING_LENGTH_BYTES;
        if (length > bytes)
            return -1;
        bytes -= length;
        tensor += STRING_LENGTH_BYTES + length;
        count++;
    }
    return bytes == 0 ? count : -1;
}

char *stringdata_put(char *to, const char *string, size_t bytes)
{
    for (size_t i = 0; i < STRING_LENGTH_BYTES; i++)
        to[i] = (char)(bytes >> i * CHAR_BIT);
    memcpy(to + STRING_LENGTH_BYTES, string, bytes);
    return to + STRING_LENGTH_BYTES + bytes;
}
