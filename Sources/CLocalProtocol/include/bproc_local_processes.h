// The process space: what runs where, signals for it, and what the daemons keep.
#pragma once
#include "bproc_local_frame.h"

enum { BPROC_LOCAL_ANY_NODE = -4 };

/* The processes come in pages, in the order of their jobs and ranks. */
struct bproc_local_processes_request {
    int32_t node;       /* or BPROC_LOCAL_ANY_NODE */
    int32_t process;    /* above 0: this one alone */
    uint64_t after_job; /* the last entry of the page before; 0: the first page */
    uint32_t after_rank;
    uint32_t flags; /* BPROC_LOCAL_PROCESSES_ */
};

/* With a process: not one that is there, but the last of this number that has ended because its
   node did. The daemon remembers some ten thousands. */
enum { BPROC_LOCAL_PROCESSES_LOST = 1 };

enum bproc_local_process_state {
    BPROC_LOCAL_PROCESS_STARTING = 0,
    BPROC_LOCAL_PROCESS_RUNNING = 1,
    /* Of those that are lost: with its node, or to another master. */
    BPROC_LOCAL_PROCESS_DIED = 2,
    BPROC_LOCAL_PROCESS_LEFT = 3,
};

struct bproc_local_process {
    uint64_t job;
    uint32_t rank;
    int32_t process;
    int32_t node;
    uint32_t user;
    uint32_t state; /* bproc_local_process_state */
    uint32_t reserved;
};

/* At most this many entries make a page. */
#define BPROC_LOCAL_PROCESSES_MOST 2048u

struct bproc_local_processes {
    uint32_t count;
    uint32_t is_last; /* no page follows */
    /* then: bproc_local_process entries[count] */
};

enum { BPROC_LOCAL_KILL_JOB = 1 /* every process of its job, and what they have started */ };

/* Who asks is taken from SO_PEERCRED. A signal to a process that is still being started is kept
   until it is there. */
struct bproc_local_kill {
    int32_t process;
    int32_t signal; /* 0: only whether it could be sent */
    uint32_t flags; /* BPROC_LOCAL_KILL_* */
    uint32_t reserved;
};

struct bproc_local_status_request {
    int32_t node; /* or BPROC_LOCAL_ANY_NODE: all that have processes */
    uint32_t patience_milliseconds; /* for each node; at most a minute */
};

/* The answers of the nodes, as they come. */
struct bproc_local_statuses {
    int32_t node;
    int32_t error;    /* why this node says nothing, or 0 */
    uint32_t count;   /* at most BPROC_LOCAL_PROCESSES_MOST */
    uint32_t is_last; /* 1: the end of the answer, with no node and no entries */
    /* then: bproc_local_status entries[count] */
};

struct bproc_local_status {
    uint64_t job;
    uint32_t rank;
    int32_t process; /* 0: something that the rank has started */
    int32_t node;
    int32_t local_process, local_parent; /* the node's own numbers */
    uint32_t user;  /* whose rights it has now */
    uint32_t state; /* the kernel's letter */
    uint32_t reserved;
    uint64_t user_microseconds, system_microseconds;
    uint64_t elapsed_microseconds;
    uint64_t resident_bytes;
    char command[128]; /* its arguments, or its name in brackets; ended by a zero byte */
};

/* For root and the daemon's own user, on the front end. */
struct bproc_local_book_request {
    int32_t node; /* its slave; BPROC_LOCAL_ANY_NODE: the daemon that is asked */
    uint32_t reserved;
};
