// What a procfs says of single processes.
#pragma once
#include <stdint.h>

enum { BP_PROCESS_COMMAND_BYTES = 128 };

struct bp_process_status {
    int32_t pid, parent, session;
    uint32_t user;  /* whose rights it has */
    uint32_t state; /* the kernel's letter */
    uint64_t user_microseconds, system_microseconds;
    uint64_t elapsed_microseconds;
    uint64_t resident_bytes;
    char command[BP_PROCESS_COMMAND_BYTES]; /* its arguments, or its name in brackets; with a NUL */
};

// Who traces a process, 0: nobody; or a negated errno.
long bp_process_tracer(int processes, int32_t pid);

/* Reads what a procfs (bp_open_processes) says of a process. 0 or a negated errno. */
long bp_process_status(int processes, int32_t pid, struct bp_process_status *_Nonnull status);
/* 1: this signal does to the process what it does to one that has never heard of signals; 0: it is
   caught, ignored or blocked. Or a negated errno. */
long bp_process_takes_default(int processes, int32_t pid, int32_t signal);
/* The session of a process, or a negated errno. */
long bp_process_session(int processes, int32_t pid);
/* Whether a process has ended, buried or not. */
long bp_process_has_ended(int processes, int32_t pid);
/* Whether a process has the file of a descriptor of the caller's, or the other end of its pipe, as
   its descriptor of this number: 1 or 0, or a negated errno. */
long bp_process_has_file(int processes, int32_t pid, int32_t number, int descriptor);
/* The children of a process, of any of its threads. Their number, at most capacity, or a negated
   errno: the kernel need not list them. */
long bp_process_children(int processes, int32_t pid, int32_t *_Nonnull children, long capacity);
