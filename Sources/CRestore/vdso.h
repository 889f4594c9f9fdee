// The vDSO: code of the kernel whose address the program's C library has already stored. See
// vdso.c for how the node's own takes the old one's place.
#pragma once
#include "bp_image.h"

// Puts a vDSO, or what does the same, where the image had one. Answers 0 or a negated errno, and
// what it was about.
long bp_place_vdso(const struct bp_image_header *header, const struct bp_image_region *regions,
                   const unsigned char *old, uint64_t *detail)
    __attribute__((visibility("hidden")));
