// A pid namespace for the children of this process.
#pragma once
#include <stdint.h>

struct bp_pid_namespace {
    int32_t initial_process; /* a pidfd of its first process, a child of the caller */
    int32_t own_process;     /* a pidfd of the caller */
    int32_t processes;       /* the root of a procfs that shows it; mounted nowhere; or -1 */
};

// Makes one, which ends with the caller. The first process executes the restorer. Pids up to the
// kernel's highest can be asked for there; others are given from first_pid on. Takes a privilege:
// EPERM. All descriptors are close-on-exec.
long bp_start_pid_namespace(int32_t restorer, int32_t first_pid,
                            struct bp_pid_namespace *_Nonnull result);
