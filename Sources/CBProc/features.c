// What the CPU has. Under a hypervisor each question takes thousands of instructions, so they are
// asked once.
#include "internal.h"

#include "bp_cpu.h"
#include "bp_image.h"

#include <string.h>

static struct {
    uint32_t words[BP_IMAGE_FEATURE_WORDS];
    uint64_t xcr0;
    uint32_t is_known;
} features;

uint64_t bplib_features(uint32_t *words) {
    // Of threads that come at the same time each writes the same.
    if (!__atomic_load_n(&features.is_known, __ATOMIC_ACQUIRE)) {
        uint32_t found[BP_IMAGE_FEATURE_WORDS];
        features.xcr0 = bp_feature_words(found);
        memcpy(features.words, found, sizeof found);
        __atomic_store_n(&features.is_known, 1, __ATOMIC_RELEASE);
    }
    memcpy(words, features.words, sizeof features.words);
    return features.xcr0;
}

void bplib_forget_features(void) { features.is_known = 0; }
