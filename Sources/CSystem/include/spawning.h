// Making the process of one rank: everything between the daemon's decision and the restorer's first
// instruction, in one call. What is done as the user is done by the restorer.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bp_spawn_limit {
    int32_t resource; /* RLIMIT_* */
    int32_t pad;
    uint64_t soft, hard;
};

enum bp_spawn_flags {
    BP_SPAWN_SET_GROUPS = 1, /* without it the child keeps what the daemon has */
    BP_SPAWN_SET_UMASK = 2,
    BP_SPAWN_SET_NICE = 4, /* only a value below the daemon's is set here; see the restorer's "n" */
    /* The restore runs to its end before anything else that shares the processor. For one process
       at a time, and only where privilege allows it. */
    BP_SPAWN_AT_ONCE = 8,
};

// Where the child finds things: descriptors 0, 1, 2 are the program's, then these.
#define BP_SPAWN_IMAGE 3
#define BP_SPAWN_STATUS 4

struct bp_spawn_plan {
    const char *_Nullable const *_Nullable arguments; /* of the restorer, ended by NULL */
    int32_t restorer;
    int32_t image_directory; /* the image is opened here, read-only; -1: `image` is used */
    const char *_Nullable image_name;
    int32_t image;
    int32_t status; /* -1: none */
    int32_t standard_input, standard_output, standard_error; /* -1: closed */
    uint32_t flags;
    const uint32_t *_Nullable groups;
    uint32_t group_count;
    uint32_t umask;
    int32_t nice;
    const struct bp_spawn_limit *_Nullable limits;
    uint32_t limit_count;
    /* The child lives in the pid namespace of this process (a pidfd); -1: in the caller's. Then
       own_process is a pidfd of the caller. */
    int32_t initial_process, own_process;
    int32_t wanted_pid; /* the child's pid there; 0: any. EEXIST if it is taken, at BP_STEP_CLONE */
};

struct bp_spawn_failure {
    int32_t stage; /* bproc_local_stage */
    int32_t step;  /* bp_restore_step */
};

// Answers the pid; the pidfd is close-on-exec. On failure a negated errno, with `failure` filled,
// and no child left.
long bp_spawn_restored(const struct bp_spawn_plan *_Nonnull plan, int *_Nonnull pidfd,
                       struct bp_spawn_failure *_Nonnull failure);

long bp_child_open(pid_t pid);
long bp_child_signal(int pidfd, int signal);
// Waits for a child of this process; answers its wait status (as waitpid reports it) without the
// sign.
long bp_child_wait(int pidfd, int *_Nonnull status);
long bp_child_effective_user(void);
