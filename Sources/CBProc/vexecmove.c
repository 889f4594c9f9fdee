// The classic calls, made of capture and job. The jobs they start stay open as long as the process.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// What this process keeps open: a job whose end closes it, or the pipe that holds a forwarder.
struct keepsake {
    struct keepsake *next;
    bproc_job_t *job; // NULL: a forwarder's
    int pipe_end;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct keepsake *keepsakes;

// A forked child must not keep its parent's jobs alive.
static void before_fork(void) { (void)pthread_mutex_lock(&lock); }
static void after_fork(void) { (void)pthread_mutex_unlock(&lock); }
static void in_child(void) {
    for (struct keepsake *kept = keepsakes; kept; kept = kept->next) {
        if (kept->job) bplib_job_abandon(kept->job);
        if (kept->pipe_end >= 0) close(kept->pipe_end);
    }
    // Freed by nobody: the allocator of a forked child is not to be trusted.
    keepsakes = NULL;
    (void)pthread_mutex_unlock(&lock);
}

// The descriptors exist only where the image was taken: what is open here under their numbers is
// something else.
void bplib_lose_jobs(void) {
    while (keepsakes) {
        struct keepsake *kept = keepsakes;
        keepsakes = kept->next;
        if (kept->job) {
            bplib_job_disown(kept->job);
            bproc_job_close(kept->job);
        }
        free(kept);
    }
}

static void install(void) { (void)pthread_atfork(before_fork, after_fork, in_child); }

static int remember(bproc_job_t *job, int pipe_end) {
    struct keepsake *kept = malloc(sizeof *kept);
    if (!kept) return bplib_fail(ENOMEM, "out of memory");
    (void)pthread_once(&once, install);
    (void)pthread_mutex_lock(&lock);
    *kept = (struct keepsake){.next = keepsakes, .job = job, .pipe_end = pipe_end};
    keepsakes = kept;
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

int bplib_remember_job(bproc_job_t *job) { return remember(job, -1); }
int bplib_remember_forwarder(int pipe_end) { return remember(NULL, pipe_end); }

static bool job_is_over(bproc_job_t *job) {
    struct bproc_job_event event;
    while (bproc_job_next(job, &event) > 0) {
        if (event.kind == BPROC_EVENT_END) return true;
    }
    return false;
}

// The forwarder's end of the pipe closes when it ends: the pipe then reports an error.
static bool forwarder_is_over(int pipe_end) {
    struct pollfd entry = {.fd = pipe_end};
    return poll(&entry, 1, 0) == 1 && (entry.revents & (POLLERR | POLLHUP | POLLNVAL));
}

void bplib_forget_ended_jobs(void) {
    (void)pthread_mutex_lock(&lock);
    for (struct keepsake **link = &keepsakes; *link;) {
        struct keepsake *kept = *link;
        if (kept->job ? job_is_over(kept->job) : forwarder_is_over(kept->pipe_end)) {
            *link = kept->next;
            bproc_job_close(kept->job);
            if (kept->pipe_end >= 0) close(kept->pipe_end);
            free(kept);
        } else {
            link = &kept->next;
        }
    }
    (void)pthread_mutex_unlock(&lock);
}

int bplib_let_go(bproc_job_t *job, bool forwards) {
    if (forwards) {
        int result = bplib_start_forwarder(job);
        // The forwarder holds the connection now, or the job ends with it.
        bproc_job_close(job);
        return result;
    }
    if (bplib_remember_job(job) == 0) return 0;
    bproc_job_close(job);
    return -1;
}

int bproc_vexecmove_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                       const char *cmd, char *const argv[], char *const envp[]) {
    if (nnodes <= 0) return bplib_fail(EINVAL, "%d nodes", nnodes);
    if (!nodes || !pids) return bplib_fail(EFAULT, "no nodes, or no place for the pids");
    if (bplib_check_io(io, iolen) < 0) return -1;
    bplib_forget_ended_jobs();
    int image = bproc_capture(cmd, argv, envp, BPROC_CAPTURE_AT_ENTRY, NULL);
    if (image < 0) return -1;
    bproc_job_t *job = bplib_launch(image, nnodes, nodes, io, iolen, cmd);
    if (!job) return -1;
    memcpy(pids, bproc_job_pids(job), (size_t)nnodes * sizeof *pids);
    return bplib_let_go(job, iolen == BPROC_JOB_FORWARD) < 0 ? -1 : nnodes;
}

int bproc_vexecmove(int nnodes, int *nodes, int *pids, const char *cmd, char *const argv[],
                    char *const envp[]) {
    return bproc_vexecmove_io(nnodes, nodes, pids, NULL, -1, cmd, argv, envp);
}

// What an image may name instead of carrying it, and here carries nevertheless.
int bplib_check_flags(int flags) {
    if ((flags & ~BPROC_DUMP_ALL) == 0) return 0;
    return bplib_fail(EINVAL, "unknown flags %#x", (unsigned int)flags & ~BPROC_DUMP_ALL);
}

int _bproc_vexecmove_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                        int flags, const char *cmd, char *const argv[], char *const envp[]) {
    if (bplib_check_flags(flags) < 0) return -1;
    return bproc_vexecmove_io(nnodes, nodes, pids, io, iolen, cmd, argv, envp);
}

int _bproc_vexecmove(int nnodes, int *nodes, int *pids, int flags, const char *cmd,
                     char *const argv[], char *const envp[]) {
    if (bplib_check_flags(flags) < 0) return -1;
    return bproc_vexecmove(nnodes, nodes, pids, cmd, argv, envp);
}
