// Ghosts: the library with the helper that makes and serves them.
#pragma once
#include "bproc_local_frame.h"
#include "bproc_local_homecoming.h"

/* The helper's role `--helper=ghosts` makes a process for each rank and stays as the server that
   traces them. Until the library lets go of the parent that they have, the holder, the caller has
   no children of the call. */
struct bproc_local_ghosts {
    uint32_t count;
    uint32_t flags; /* BPROC_LOCAL_GHOSTS_* */
    char name[16];  /* what ps shows */
};

/* The one ghost is the caller itself, which has moved. The file that comes with GHOSTS_MADE is
   memory that it shares with the server: a bproc_local_own_ghost. It is traced from ADOPT on. */
enum { BPROC_LOCAL_GHOSTS_SELF = 2 };

enum bproc_local_ghost_order {
    BPROC_LOCAL_GHOST_LIVE = 1, /* it sleeps */
    BPROC_LOCAL_GHOST_END = 2,  /* as the status says */
    /* It takes what its homecoming names, says so there, and sends itself signal 64, which stops it
       for its server. */
    BPROC_LOCAL_GHOST_COME = 3,
    BPROC_LOCAL_GHOST_GO = 4, /* nobody traces it any more: it executes the image */
};

struct bproc_local_own_ghost {
    uint32_t order;
    int32_t status;     /* as waitpid reports it */
    int32_t server;     /* its pid */
    uint32_t has_begun; /* set by the ghost: the server may trace it */
    uint64_t servers[2]; /* the server's own */
    struct bproc_local_homecoming home;
};

struct bproc_local_ghosts_made {
    int32_t error; /* why fewer than wanted, or 0 */
    uint32_t made_count;
};

enum {
    BPROC_LOCAL_GHOSTS_FORWARD = 1, /* both outputs of all ranks to standard output */
    BPROC_LOCAL_GHOSTS_END_WITH_CALLER = 2, /* the ranks end when the caller does */
};

struct bproc_local_ghosts_adopt {
    uint32_t count; /* the ghosts that were made */
    uint32_t flags; /* BPROC_LOCAL_GHOSTS_* */
    /* then: uint8_t started[count]; the ghosts of ranks that failed disappear */
};

struct bproc_local_ghosts_ready {
    int32_t error;
};

/* What their server keeps, all of it 0 when it ends. */
struct bproc_local_ghosts_book {
    uint32_t living_count;      /* of the ghosts */
    uint32_t running_count;     /* of the ranks */
    uint32_t output_count;      /* ranks that have ended, and their output has not */
    uint32_t called_count;      /* ghosts that were told to stop as their rank has */
    uint32_t arriving_count;    /* ranks whose processes come to their ghosts */
    uint32_t reserved;
    uint64_t output_bytes;      /* that standard output has still to take */
    uint64_t unsent_bytes;      /* that the job's channel has still to take */
};
