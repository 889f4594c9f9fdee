// A process that comes back to where its ghost is, and goes on in that: three who take part.
#pragma once
#include "bproc_local_frame.h"

#define BPROC_LOCAL_SOCKET_LEN 112

/* RANK_ARRIVES, from the daemon to the server of a job's ghosts: the rank's image is with the slave
   that this socket is of. */
struct bproc_local_rank_arrives {
    uint64_t launch; /* by which it moves */
    uint32_t rank;   /* as its caller knows it */
    uint32_t reserved;
    char slave[BPROC_LOCAL_SOCKET_LEN];  /* its socket, as BPROC_SOCKET has it */
    char daemon[BPROC_LOCAL_SOCKET_LEN]; /* that the process is to speak to; empty: as before */
};

/* COLLECT, from the server to that slave; answered with COLLECTED. */
struct bproc_local_collect {
    uint64_t launch;
};

/* COLLECTED, a sealed file of the image attached. What is here is what a slave would have set. */
struct bproc_local_collected {
    uint32_t umask;
    int32_t nice;
    uint32_t directory_bytes;
    uint32_t limit_count;
    /* then: uint64_t limits[limit_count][2], soft and hard, in numeric order; the directory */
};

/* ARRIVED, from the server to the slave: the ghost has executed the image (0), or why it could
   not. */
struct bproc_local_arrived {
    int32_t error;
};

/* What a ghost is told by its server, in memory that both have. The descriptors are the server's:
   the ghost takes its own of them. */
struct bproc_local_homecoming {
    int32_t image;
    int32_t word;        /* takes an errno if the image cannot be executed; closes if it is */
    int32_t standard[3]; /* what becomes 0, 1 and 2; -1: what is there stays */
    int32_t state;       /* the ghost's word: 0: nothing yet, 1: it has them all; a negated errno */
    uint32_t umask;
    int32_t taken[5];    /* the ghost's own of the above */
    /* The ghost has no words of its own. */
    char nothing[4], name[16], cpu[16];
    char socket[16 + BPROC_LOCAL_SOCKET_LEN]; /* an entry of the environment; empty: none */
    char directory[2048];                     /* empty: where it is */
};
