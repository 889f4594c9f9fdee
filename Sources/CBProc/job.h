// The state of a job, for the files that work on it.
#pragma once
#include "internal.h"

#pragma GCC visibility push(hidden)

struct bplib_failure {
    int node, stage, error;
    char text[BPROC_LOCAL_REASON_LEN + 1];
};

// What of a rank has ended; a rank that failed is over at once.
enum {
    BPLIB_RANK_EXITED = 1,
    BPLIB_RANK_OUTPUT_ENDED = 2,
    BPLIB_RANK_ERRORS_ENDED = 4,
    BPLIB_RANK_OVER = 7,
};

struct bproc_job {
    struct bplib_channel channel;
    int rank_count;
    int over_count;
    bool forwarding;
    bool started;
    bool has_children;
    bool outlives_caller; // once its ranks have been told of
    int other_pid_count;
    int first_other_pid;         // the rank, where there is one
    struct bplib_ghosts *ghosts; // until they are the caller's children; NULL: there are none
    int watch;                   // the end of their server's socket, until it has it; -1
    int *nodes;
    int *pids;
    uint8_t *states; // BPLIB_RANK_ bits
    struct bproc_usage *usages; // of those that have ended; NULL: none has
    struct bproc_job_times *times; // NULL: the daemon has not told
    struct bplib_failure **failures;
    // Messages are noted once, as they come, and become events later, when the caller asks: this
    // many bytes from in.start on are noted.
    size_t scanned_bytes;
    size_t exit_index; // within the EXIT message that is being handed out
    size_t input_room;
    bool input_ended; // for all ranks
    int end_error;
    char end_text[256];
};

struct bproc_job *bplib_job_create(const struct bproc_job_request *request);
bool bplib_job_over(const bproc_job_t *job);
// The caller has the numbers of its ranks: those that are to outlive it do from now on. 0 or -1.
int bplib_keep_ranks(bproc_job_t *job);
// The channel is about to be closed: whether they live on must have been said.
void bplib_leave_ranks(bproc_job_t *job);

// bproc_job_launch with ghosts, where they can be made.
int bplib_launch_parent(const struct bproc_job_request *request, bproc_job_t **result);
// The ranks have started or failed: their ghosts become the caller's children. 0 or -1.
int bplib_adopt_children(bproc_job_t *job);
// Gives up what the job has of ghosts; those that are nobody's children end.
void bplib_drop_children(bproc_job_t *job);

#pragma GCC visibility pop
