// Which pages of a process have content, as its page map in /proc says. For the library, which
// looks at its own process, and for the helper that looks at others.
#pragma once
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

struct bp_page_range {
    uint64_t start, end, categories;
};

// Ranges closer together than this many pages are one: a mapping costs more than a few zero pages.
enum { BP_PAGEMAP_GAP_PAGES = 16 };

// PAGEMAP_SCAN (Linux 6.7): ranges of pages that are present or swapped and not the zero page.
// Answers their number or a negated errno; -ENOTTY or -EINVAL where the kernel has no such call.
static inline __attribute__((unused)) long bp_pagemap_scan(int pagemap, uint64_t start,
                                                           uint64_t end,
                                                           struct bp_page_range *ranges,
                                                           size_t count, uint64_t *walk_end) {
    enum { PRESENT = 1 << 3, SWAPPED = 1 << 4, ZERO = 1 << 5 };
    // Debian 12's headers are older than the call; the kernel's numbers are fixed.
    struct scan {
        uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
        uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
    } scan = {
        .size = sizeof scan,
        .start = start,
        .end = end,
        .vec = (uint64_t)ranges,
        .vec_len = count,
        .category_inverted = ZERO,
        .category_mask = ZERO,
        .category_anyof_mask = PRESENT | SWAPPED,
        .return_mask = PRESENT | SWAPPED,
    };
    int result = ioctl(pagemap, _IOWR('f', 16, struct scan), &scan);
    if (result < 0) return -errno;
    *walk_end = scan.walk_end;
    return result;
}

// An entry of the page map itself, for older kernels: 8 bytes a page, bit 63 present, 62 swapped.
static inline __attribute__((unused)) int bp_pagemap_has_content(uint64_t entry) {
    return entry >> 62 != 0;
}
