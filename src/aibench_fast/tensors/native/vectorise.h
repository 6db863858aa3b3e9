/* Marks a loop over pixels that is compiled twice: for any x86-64, and for AVX2. The loader chooses one. Both give the
 * same bits, because neither fuses a multiplication with an addition. On other machines, and with a sanitizer, which is
 * not ready when the loader chooses, the loop is compiled once. */
#ifndef AIBENCH_VECTORISE_H
#define AIBENCH_VECTORISE_H

#include <features.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTORISE __attribute__((target_clones("avx2", "default")))
#else
#define VECTORISE
#endif

#endif
