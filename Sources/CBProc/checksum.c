// The checksum of images, with vectors where the processor has them.
#define _GNU_SOURCE
#include "internal.h"

#include "bp_xxh3.h"

#include <immintrin.h>

static const uint64_t secret[24] = {BP_XXH3_SECRET};

__attribute__((target("avx2"), always_inline)) static inline void
stripe_of_four(uint64_t sums[8], const unsigned char *bytes, const unsigned char *keys) {
    __m256i *four = (__m256i *)sums;
    for (int half = 0; half < 2; half++) {
        __m256i value = _mm256_loadu_si256((const __m256i *)bytes + half);
        __m256i keyed = _mm256_xor_si256(value, _mm256_loadu_si256((const __m256i *)keys + half));
        __m256i product = _mm256_mul_epu32(keyed, _mm256_srli_epi64(keyed, 32));
        __m256i swapped = _mm256_shuffle_epi32(value, _MM_SHUFFLE(1, 0, 3, 2));
        four[half] = _mm256_add_epi64(four[half], _mm256_add_epi64(product, swapped));
    }
}

__attribute__((target("avx2"))) static uint64_t by_four(const unsigned char *first,
                                                        const unsigned char *bytes,
                                                        uint64_t byte_count) {
    return bp_xxh3_by(stripe_of_four, first, bytes, byte_count, secret);
}

uint64_t bplib_checksum(const unsigned char *first, const unsigned char *bytes,
                        uint64_t byte_count) {
    if (__builtin_cpu_supports("avx2")) return by_four(first, bytes, byte_count);
    return bp_xxh3_long(first, bytes, byte_count, secret);
}
