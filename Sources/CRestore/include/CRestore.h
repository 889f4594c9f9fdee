// The restore code: a few KB of position-independent machine code with three entries, copied from
// the daemon's own executable into images and into the restorer's file.
#pragma once
#include "bp_image.h"
#include <stddef.h>
#include <stdint.h>

// libbproc is built with any C compiler.
#ifndef __clang__
#define _Nonnull
#define _Nullable
#endif

struct bp_restore_code {
    const unsigned char *_Nonnull bytes;
    size_t byte_count;
    /* Offsets of the entries, and of three numbers that the writer of an image fills in. */
    size_t direct_entry, stub_entry, restorer_entry;
    size_t base_slot, scratch_slot, stack_slot;
};

struct bp_restore_code bp_restore_code(void);

// What stays of a process that has moved: this, a stack and the code, in memory of their own.
struct bp_stand_in {
    uint64_t start, byte_count; /* all of that memory */
    uint64_t arguments;         /* nor is anything given back from here on; 0: everything is */
    int32_t job, signals;       /* the job's connection; a signalfd of all signals; no blocking */
    uint64_t shared;            /* the last page: a bproc_local_own_ghost */
    uint32_t is_ghost;          /* the server of its ghost does all the rest */
    uint32_t is_forwarding;     /* it is over when the streams of its rank have ended too */
    uint32_t have;              /* bytes that have come and nobody has looked at */
    /* The code's own. */
    uint32_t ended, stream, output_left, skipped_left;
    int32_t status;
    /* Room for both streams' windows, and for what is read at once. */
    unsigned char bytes[192 << 10];
};

struct bp_stand_in_code {
    const unsigned char *_Nonnull bytes;
    size_t byte_count, entry; /* of void (*)(struct bp_stand_in *), on a stack inside the memory */
};

struct bp_stand_in_code bp_stand_in_code(void);

// Fills eight words with this CPU's features (FORMAT.md has the bits) and answers XCR0.
uint64_t bp_local_features(uint32_t *_Nonnull words);

// What failed at a step (bp_restore_step), as a sentence; NULL for other numbers. @ stands for the
// detail as an address, # in decimal, % for the CPU features that it names.
const char *_Nullable bp_restore_sentence(unsigned step);

// The CPU features that code may be chosen by, one after the other: the name, and 32 times the word
// plus the bit. NULL behind the last.
const char *_Nullable bp_feature_name(unsigned index, unsigned *_Nonnull number);
