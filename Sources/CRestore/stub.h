// Between the two halves of the restore code: the restorer (in the daemon) hands these to the stub
// (in the image). The structure lies at the start of the image's scratch memory.
#pragma once
#include <stdint.h>

// What need not be looked after, because somebody has.
enum bp_stub_known {
    BP_STUB_CPU_SUITS = 1, /* CPUID is slow where a hypervisor answers it */
    BP_STUB_SIGNALS_ARE_DEFAULT = 2,
    BP_STUB_FILES_HAVE_NAMES = 4, /* the stub's own note */
};

// Sixteen items of at most 255 bytes of path, with room for their numbers.
#define BP_STUB_ITEM_BYTES 5632
// A connection that has not come about by then will not.
#define BP_CONNECT_SECONDS 20

struct bp_stub_arguments {
    uint32_t byte_count; /* of this structure; a stub refuses a shorter one than it knows */
    int32_t image;
    int32_t status; /* -1: nobody listens; a failure is told on descriptor 2 */
    uint32_t rank;
    uint32_t set_rank;
    int32_t nice;
    uint32_t set_nice;
    uint32_t known; /* enum bp_stub_known */
    uint32_t leads_session; /* the program leads a session and process group of its own */
    uint32_t unused;        /* 0: stubs of earlier images read it */
    uint32_t number;        /* its process number, repeated in the record that says "placed" */
    int32_t node;           /* where the daemon runs */
    uint32_t has_node;      /* a daemon restores, and has said which node it is */
    uint32_t is_held;       /* placed, it waits for a byte on the status descriptor */
    uint32_t item_byte_count;
    char socket[108]; /* NUL-terminated; empty: none */
    char items[BP_STUB_ITEM_BYTES]; /* arguments as the restorer has them, each with its NUL */
    int32_t directory; /* an empty one that is nowhere else, for embedded files; -1: none */
};
