// The memory of a group, for the two files that work on it.
#pragma once
#include "bproc_local_ghosts.h"
#include <stddef.h>
#include <stdint.h>

enum {
    GHOST_STACK_BYTES = 4096,
    HOLDER_STACK_BYTES = 16384,
    NAME_BYTES = 16, // what the kernel keeps of a name, its NUL included
};

enum ghost_order {
    ORDER_WAIT = 0, // all signals are blocked: nobody would forward them yet
    ORDER_LIVE = BPROC_LOCAL_GHOST_LIVE,
    ORDER_END = BPROC_LOCAL_GHOST_END,
    ORDER_COME = BPROC_LOCAL_GHOST_COME,
    ORDER_GO = BPROC_LOCAL_GHOST_GO,
};

struct ghost {
    // The beginning of a bproc_local_own_ghost, where the ghost is the caller itself.
    uint32_t order; // a futex
    int32_t status; // how to end, as waitpid reports it
    int32_t server;
    uint32_t has_begun; // it lets the server trace it
    struct bp_ghost_group *group;
    int32_t pid;
    uint8_t is_dropped, is_reaped;
    uint8_t has_ended; // before it could be traced
};

_Static_assert(sizeof(struct ghost) == offsetof(struct bproc_local_own_ghost, home),
               "what the two share");

struct bp_ghost_group {
    uint32_t count;  // wanted
    uint32_t server; // its pid; a futex of the holder's
    uint32_t made;   // 1: the holder has made what it could; a futex of the server's
    uint32_t made_count;
    int32_t error; // why not more, 0 or an errno
    int32_t holder;
    int32_t holder_end; // a pidfd of the holder, in the server's table
    int32_t server_end; // a pidfd of the server, in the table of the holder and the ghosts
    uint32_t drop;    // counts the requests to reap; a futex of the holder's
    uint32_t dropped; // counts those that are done; a futex of the server's
    char name[NAME_BYTES];
    int32_t own;           // the pid of the caller, if it is the one ghost; else 0
    struct bproc_local_homecoming *home; // of the one ghost that comes home at present; or NULL
    unsigned char *stacks; // one for each ghost
    struct ghost *ghosts;
    unsigned char holder_stack[HOLDER_STACK_BYTES] __attribute__((aligned(64)));
};

// The life of the holder, argument is the group.
void bp_ghost_holder_main(void *argument);
