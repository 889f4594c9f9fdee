#include "include/CChecksum.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t bp_xxh3_avx2(const void *bytes, size_t count);
uint64_t bp_xxh3_avx512(const void *bytes, size_t count);

uint64_t bp_xxh3(const void *bytes, size_t count) {
    if (__builtin_cpu_supports("avx512f")) return bp_xxh3_avx512(bytes, count);
    if (__builtin_cpu_supports("avx2")) return bp_xxh3_avx2(bytes, count);
    return XXH3_64bits(bytes, count);
}
