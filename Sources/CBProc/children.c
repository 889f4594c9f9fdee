// Jobs whose ranks are children of the caller. Their ghosts are made before the launch, and their
// pids are its numbers. The caller keeps the job's channel, so the daemon tells the ghosts' server
// of ends and stops on a socket of its own, and takes the signals of the ghosts from there.
#define _GNU_SOURCE
#include "internal.h"
#include "job.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

// The server's end of its socket. -1: the daemon does not do this, one on a node for instance.
static int open_watch(struct bplib_channel *channel) {
    int ends[2];
    struct bplib_message answer;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return bplib_fail(errno, "children: socket pair: %s", bproc_strerror(errno));
    }
    int result = bplib_channel_queue(channel, BPROC_LOCAL_JOB_WATCH, NULL, 0);
    if (result == 0) result = bplib_channel_send(channel, ends[1], BPLIB_ANSWER_MILLISECONDS);
    if (result == 0) {
        result = bplib_channel_expect(channel, &answer, BPROC_LOCAL_NODE_DONE, 0, "children");
    }
    int error = errno;
    close(ends[1]);
    if (result == 0) return ends[0];
    close(ends[0]);
    errno = error;
    return -1;
}

// All ghosts of the job, and the server's socket; or none.
static struct bplib_ghosts *make(struct bplib_start *start, int count, const char *name,
                                 int *watch) {
    if (start->node != BPROC_NODE_MASTER) return NULL;
    struct bplib_ghosts *ghosts = bplib_begin_ghosts(&start->helper, count, name);
    if (!ghosts) return NULL;
    if (bplib_take_ghosts(ghosts) == 0) *watch = open_watch(&start->channel);
    if (*watch >= 0) return ghosts;
    bplib_end_ghosts(ghosts);
    return NULL;
}

int bplib_launch_parent(const struct bproc_job_request *request, bproc_job_t **result) {
    struct bplib_start start;
    if (bplib_check_request(request) < 0 || bplib_begin(&start) < 0) return -1;
    if (start.helper.program < 0) return -1;
    int watch = -1;
    struct bplib_ghosts *ghosts = make(&start, request->rank_count, request->command, &watch);
    struct bplib_numbers numbers = {.processes = ghosts ? bplib_ghost_pids(ghosts) : NULL,
                                    .may_differ = true,
                                    .wants_stops = ghosts != NULL};
    int outcome = bplib_launch_job(&start.channel, request, numbers, result);
    int error = errno;
    if (outcome == 0) {
        (*result)->ghosts = ghosts;
        (*result)->watch = watch;
    } else {
        if (ghosts) bplib_end_ghosts(ghosts);
        if (watch >= 0) close(watch);
    }
    bplib_end(&start);
    errno = error;
    return outcome;
}

void bplib_drop_children(bproc_job_t *job) {
    if (job->ghosts) bplib_end_ghosts(job->ghosts);
    if (job->watch >= 0) close(job->watch);
    job->ghosts = NULL;
    job->watch = -1;
}

int bplib_adopt_children(bproc_job_t *job) {
    bool has_started = false;
    for (int rank = 0; rank < job->rank_count; rank++) has_started |= job->pids[rank] > 0;
    int result = has_started ? bplib_adopt_ghosts(job->ghosts, job, job->watch,
                                                  !job->outlives_caller)
                             : 0;
    int error = errno;
    if (has_started && result == 0) bplib_confirm_ghosts(job->ghosts);
    job->has_children = has_started && result == 0;
    bplib_drop_children(job);
    errno = error;
    return result;
}
