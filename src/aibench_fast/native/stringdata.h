/* Strings of a tensor in binary, as the Open Inference Protocol has them: each is its length as 4 little-endian
 * bytes, then its bytes.
 *
 * Memory: the caller's. Units: bytes. Threads: any number, of memory of their own.
 */
#ifndef AIBENCH_STRINGDATA_H
#define AIBENCH_STRINGDATA_H

#include <stddef.h>
#include <stdint.h>

#define STRING_LENGTH_BYTES 4

/* How many strings there are; -1 where the last one reaches beyond the end, or its length does. */
int64_t stringdata_count(const char *tensor, size_t bytes);

/* Write a string to `to`, which has room for STRING_LENGTH_BYTES and the string; return where it ends. */
char *stringdata_put(char *to, const char *string, size_t bytes);

#endif
