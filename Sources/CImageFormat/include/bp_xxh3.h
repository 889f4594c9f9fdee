// XXH3-64 with seed 0 for inputs of more than 240 bytes, in plain C: for the two places that check
// an image without a library, the stub inside it and libbproc. Written from the specification
// (xxHash, doc/xxhash_spec.md); the daemons use libxxhash, and the tests compare both.
#pragma once

// The default secret, part of the algorithm.
#define BP_XXH3_SECRET \
    0xbe4ba423396cfeb8, 0x1cad21f72c81017c, 0xdb979083e96dd4de, 0x1f67b3b7a4a44072, \
    0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82, 0x8e2443f7744608b8, 0x4c263a81e69035e0, \
    0xcb00c391bb52283c, 0xa32e531b8b65d088, 0x4ef90da297486471, 0xd8acdea946ef1938, \
    0x3f349ce33f76faa8, 0x1d4f0bc7c7bbdcf9, 0x3159b4cd4be0518a, 0x647378d9c97e9fc8, \
    0xc3ebd33483acc5ea, 0xeb6313faffa081c5, 0x49daf0b751dd0d17, 0x9e68d429265516d3, \
    0xfca1477d58be162b, 0xce31d07ad1b8f88f, 0x280416958f3acb45, 0x7e404bbbcafbd7af

#ifndef __ASSEMBLER__
#include <stdint.h>

#define BP_XXH3_BLOCK 1024u /* bytes between two scrambles */

typedef uint64_t bp_xxh3_word __attribute__((aligned(1), may_alias));

static inline __attribute__((always_inline)) void
bp_xxh3_stripe(uint64_t sums[8], const unsigned char *bytes, const unsigned char *secret) {
    const bp_xxh3_word *input = (const bp_xxh3_word *)bytes;
    const bp_xxh3_word *keys = (const bp_xxh3_word *)secret;
    _Pragma("GCC unroll 8") for (int lane = 0; lane < 8; lane++) {
        uint64_t value = input[lane], keyed = value ^ keys[lane];
        sums[lane ^ 1] += value;
        sums[lane] += (keyed & 0xffffffffu) * (keyed >> 32);
    }
}

typedef void bp_xxh3_stripe_function(uint64_t sums[8], const unsigned char *bytes,
                                     const unsigned char *secret);

// byte_count is more than 240. The first BP_XXH3_BLOCK bytes are read from first instead, where
// byte_count is larger than that: a caller that has to see some of them as zero hands in a copy.
// secret: BP_XXH3_SECRET in memory. stripe: bp_xxh3_stripe, or what does the same with vectors.
static inline __attribute__((always_inline)) uint64_t
bp_xxh3_by(bp_xxh3_stripe_function *stripe, const unsigned char *first, const unsigned char *bytes,
           uint64_t byte_count, const uint64_t secret_words[24]) {
    const uint64_t prime32_1 = 0x9e3779b1u, prime32_2 = 0x85ebca77u, prime32_3 = 0xc2b2ae3du;
    const uint64_t prime64_1 = 0x9e3779b185ebca87u, prime64_2 = 0xc2b2ae3d27d4eb4fu;
    const uint64_t prime64_3 = 0x165667b19e3779f9u, prime64_4 = 0x85ebca77c2b2ae63u;
    const uint64_t prime64_5 = 0x27d4eb2f165667c5u;
    const unsigned char *secret = (const unsigned char *)secret_words;
    uint64_t sums[8] __attribute__((aligned(32)));
    sums[0] = prime32_3, sums[1] = prime64_1, sums[2] = prime64_2, sums[3] = prime64_3;
    sums[4] = prime64_4, sums[5] = prime32_2, sums[6] = prime64_5, sums[7] = prime32_1;
    uint64_t block_count = (byte_count - 1) / BP_XXH3_BLOCK;
    for (uint64_t block = 0; block < block_count; block++) {
        const unsigned char *at = block ? bytes + block * BP_XXH3_BLOCK : first;
        for (unsigned i = 0; i < 16; i++) stripe(sums, at + 64 * i, secret + 8 * i);
        _Pragma("GCC unroll 8") for (int lane = 0; lane < 8; lane++) {
            uint64_t sum = sums[lane];
            sums[lane] = (sum ^ sum >> 47 ^ secret_words[16 + lane]) * prime32_1;
        }
    }
    const unsigned char *rest = bytes + block_count * BP_XXH3_BLOCK;
    uint64_t stripe_count = (byte_count - 1 - block_count * BP_XXH3_BLOCK) / 64;
    for (uint64_t i = 0; i < stripe_count; i++) stripe(sums, rest + 64 * i, secret + 8 * i);
    stripe(sums, bytes + byte_count - 64, secret + 121);
    uint64_t result = byte_count * prime64_1;
    const bp_xxh3_word *keys = (const bp_xxh3_word *)(secret + 11);
    for (int pair = 0; pair < 4; pair++) {
        unsigned __int128 product = (unsigned __int128)(sums[2 * pair] ^ keys[2 * pair]) *
                                    (sums[2 * pair + 1] ^ keys[2 * pair + 1]);
        result += (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    result = (result ^ result >> 37) * 0x165667919e3779f9u;
    return result ^ result >> 32;
}

static inline __attribute__((always_inline)) uint64_t
bp_xxh3_long(const unsigned char *first, const unsigned char *bytes, uint64_t byte_count,
             const uint64_t secret_words[24]) {
    return bp_xxh3_by(bp_xxh3_stripe, first, bytes, byte_count, secret_words);
}
#endif
