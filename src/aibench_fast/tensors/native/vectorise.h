/* Marks a loop over pixels that is worth compiling twice: for any x86-64, and for those with AVX2,
 * chosen when the program is loaded. Both give the same bits, for neither fuses a multiplication
 * with an addition. Elsewhere the loop is compiled once, as under a sanitizer, which is not ready yet
 * when the choice is made. */
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
