// CPU features that code may have been chosen by: how they are asked for, and their names.
#pragma once

// Word (FORMAT.md), bit, name: Intel SDM volume 2A, CPUID; names as the Linux kernel prints them.
#define BP_FEATURES(X) \
    X(0, 0, "pni") X(0, 1, "pclmulqdq") X(0, 9, "ssse3") X(0, 12, "fma") X(0, 13, "cx16") \
    X(0, 19, "sse4_1") X(0, 20, "sse4_2") X(0, 22, "movbe") X(0, 23, "popcnt") \
    X(0, 25, "aes") X(0, 26, "xsave") X(0, 27, "osxsave") X(0, 28, "avx") X(0, 29, "f16c") \
    X(0, 30, "rdrand") X(1, 0, "fsgsbase") X(1, 3, "bmi1") X(1, 4, "hle") X(1, 5, "avx2") \
    X(1, 8, "bmi2") X(1, 9, "erms") X(1, 11, "rtm") X(1, 16, "avx512f") X(1, 17, "avx512dq") \
    X(1, 18, "rdseed") X(1, 19, "adx") X(1, 21, "avx512ifma") X(1, 23, "clflushopt") \
    X(1, 24, "clwb") X(1, 28, "avx512cd") X(1, 29, "sha_ni") X(1, 30, "avx512bw") \
    X(1, 31, "avx512vl") X(2, 1, "avx512vbmi") X(2, 6, "avx512_vbmi2") X(2, 8, "gfni") \
    X(2, 9, "vaes") X(2, 10, "vpclmulqdq") X(2, 11, "avx512_vnni") X(2, 12, "avx512_bitalg") \
    X(2, 14, "avx512_vpopcntdq") X(2, 22, "rdpid") X(3, 4, "fsrm") \
    X(3, 8, "avx512_vp2intersect") X(3, 22, "amx_bf16") X(3, 23, "avx512_fp16") \
    X(3, 24, "amx_tile") X(3, 25, "amx_int8") X(4, 4, "avx_vnni") X(4, 5, "avx512_bf16") \
    X(4, 10, "fzrm") X(4, 11, "fsrs") X(4, 12, "fsrc") X(5, 0, "lahf_lm") X(5, 5, "abm") \
    X(5, 6, "sse4a") X(5, 8, "3dnowprefetch") X(6, 0, "xsaveopt") X(6, 1, "xsavec")

#ifndef __ASSEMBLER__
#include <stdint.h>

#define BP_CPU_INLINE static inline __attribute__((always_inline, unused))

BP_CPU_INLINE void bp_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

BP_CPU_INLINE uint64_t bp_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

// The features a program may choose code by, in eight words (see FORMAT.md), as far as CPU and
// operating system both support them. Returns XCR0, or 0 where the system has no XSAVE.
BP_CPU_INLINE uint64_t bp_feature_words(uint32_t words[8]) {
    uint32_t r[4];
    for (int i = 0; i < 8; i++) words[i] = 0;
    bp_cpuid(0, 0, r);
    uint32_t last = r[0];
    bp_cpuid(1, 0, r);
    words[0] = r[2];
    int has_xsave = (r[2] >> 27) & 1;
    uint64_t xcr0 = has_xsave ? bp_xcr0() : 0;
    if (last >= 7) {
        bp_cpuid(7, 0, r);
        uint32_t last_subleaf = r[0];
        words[1] = r[1];
        words[2] = r[2];
        words[3] = r[3];
        if (last_subleaf >= 1) {
            bp_cpuid(7, 1, r);
            words[4] = r[0];
        }
    }
    // A leaf that every CPU of 64 bits has: it says that the CPU is one.
    bp_cpuid(0x80000001u, 0, r);
    words[5] = r[2];
    if (has_xsave && last >= 13) {
        bp_cpuid(13, 1, r);
        words[6] = r[0];
    }
    // A vector feature whose registers the system does not save cannot be used.
    if ((xcr0 & 0x6) != 0x6) {
        words[0] &= ~((1u << 28) | (1u << 12) | (1u << 29));
        words[1] &= ~(1u << 5);
        words[2] &= ~((1u << 9) | (1u << 10));
        words[4] &= ~(1u << 4);
    }
    if ((xcr0 & 0xe6) != 0xe6) {
        words[1] &= ~((1u << 16) | (1u << 17) | (1u << 21) | (1u << 28) | (1u << 30) | (1u << 31));
        words[2] &= ~((1u << 1) | (1u << 6) | (1u << 11) | (1u << 12) | (1u << 14));
        words[3] &= ~((1u << 8) | (1u << 23));
        words[4] &= ~(1u << 5);
    }
    if ((xcr0 & 0x60000) != 0x60000) words[3] &= ~((1u << 22) | (1u << 24) | (1u << 25));
    return xcr0;
}
#endif
