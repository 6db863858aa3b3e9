/* Strings of a tensor in the Open Inference Protocol's binary form: for each its length as 4 little-endian bytes, then
 * its bytes.
 *
 * Memory: the caller's. Units: bytes. Threads: any number, each with memory of its own.
 */
#ifndef AIBENCH_STRINGDATA_H
#define AIBENCH_STRINGDATA_H

#include <stddef.h>
#include <stdint.h>

#define STRING_LENGTH_BYTES 4

/* Return the number of strings; -1 if the last one, or its length, reaches beyond the end. */
int64_t stringdata_count(const char *tensor, size_t bytes);

/* Write a string to `to`, which has room for STRING_LENGTH_BYTES and the string; return where it ends. */
char *stringdata_put(char *to, const char *string, size_t bytes);

#endif
