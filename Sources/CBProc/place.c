// Where this process is. A process that was restored on a node is told so by the restore code,
// which writes the record here; its environment still tells of the place where it was started.
#define _GNU_SOURCE
#include "internal.h"

// Aligned, so that it never lies in two pages: they may be two mappings after a move.
struct bproc_local_place bplib_place __attribute__((aligned(256)));

_Static_assert(sizeof(struct bproc_local_place) <= 256, "one page holds all of it");

bool bplib_has_place(void) {
    return bplib_place.magic == BPROC_LOCAL_PLACE_MAGIC &&
           (bplib_place.flags & BPROC_LOCAL_PLACE_ON_NODE);
}
