// The image of the caller, written by the caller itself: what its two files share.
#pragma once

#include "internal.h"

#include "bp_image.h"
#include "bp_pagemap.h"

#pragma GCC visibility push(hidden)

enum {
    OWN_LINES_MAX = BP_IMAGE_REGIONS_MAX,
    OWN_RANGES_MAX = BP_IMAGE_RUNS_MAX,
    // What is looked at and written at once: large enough that the calls do not count, small enough
    // for a cache.
    OWN_PIECE_BYTES = 64 * BP_IMAGE_PAGE,
    // Shorter stretches of zeros are stored: a mapping of its own costs more than they do.
    OWN_GAP_BYTES = BP_PAGEMAP_GAP_PAGES * BP_IMAGE_PAGE,
    OWN_TEXT_BYTES = 64 << 10,
};

struct own_range {
    uint64_t start, end;
};

// A line of /proc/self/maps, and which pages of it have content.
struct own_line {
    uint64_t start, end;
    uint32_t first_range, range_count;
    uint8_t protection; // PROT_ bits
    bool is_shared, is_file, is_stack, is_kernels, is_vdso, is_vvar;
};

// All that the caller has mapped, but for this: it lies in memory that is mapped for the purpose.
// Pages that are never touched cost nothing.
struct own_memory {
    int directory; // the caller's, in a /proc
    struct bplib_stretch left_out[2]; // this memory, and what others are at work in
    uint32_t line_count, range_count;
    uint64_t byte_count;  // of all ranges
    uint64_t piece_count; // the most that they are cut into
    char text[OWN_TEXT_BYTES];
    unsigned char piece[OWN_PIECE_BYTES];
    unsigned char block[BP_IMAGE_CHECKSUM_BLOCK]; // of data, that is not complete
    struct own_line lines[OWN_LINES_MAX];
    struct own_range ranges[OWN_RANGES_MAX];
};

// Reads a whole file of the caller's directory. The bytes, or -1.
ssize_t bplib_read_own(const struct own_memory *memory, const char *name, void *bytes,
                       size_t byte_count);
// Fills in everything. 0 or -1.
int bplib_survey_memory(struct own_memory *memory);
// NULL: there is none.
const struct own_line *bplib_own_stack(const struct own_memory *memory);
// The first address of the stack that was ever used, or its end.
uint64_t bplib_lowest_used(struct own_memory *memory, const struct own_line *stack);
// Where so many bytes are free; 0: nowhere.
uint64_t bplib_own_hole(const struct own_memory *memory, uint64_t byte_count);
// Whether the caller itself can read the pages of an anonymous mapping.
bool bplib_can_read(const struct own_line *line);
// A copy, in the piece, of memory that must not be touched: protected, or behind the end of its
// file. What cannot be read at all is zeros.
const unsigned char *bplib_copy_guarded(struct own_memory *memory, uint64_t address,
                                        size_t byte_count);

// The state of the one thread at the moment that the image is of.
struct bplib_thread {
    struct bproc_local_registers registers;
    uint64_t signal_mask;
};

// All of the header but its sizes, tables and checksum. 0 or -1.
int bplib_fill_header(struct bp_image_header *header, struct own_memory *memory,
                      const struct bplib_thread *thread);
// Writes the image to a file that can be written at any offset, from offset on. Its length, or -1.
int64_t bplib_write_image(struct own_memory *memory, const struct bplib_thread *thread, int file,
                          uint64_t offset);

#pragma GCC visibility pop
