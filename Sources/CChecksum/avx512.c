// XXH3 compiled for avx512f: the header chooses its vector code at compile time, bp_xxh3 the
// function at run time.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#define XXH_INLINE_ALL
#define XXH_VECTOR 3
#include <xxhash.h>

uint64_t bp_xxh3_avx512(const void *bytes, size_t count);

uint64_t bp_xxh3_avx512(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }
#pragma clang attribute pop
