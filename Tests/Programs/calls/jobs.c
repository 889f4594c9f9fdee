/* Images and jobs. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

static char shell[] = "/bin/sh";
static char option[] = "-c";
static int nodes[] = {0, 1};

static int capture_script(const char *script) {
    char *arguments[4];
    arguments[0] = shell;
    arguments[1] = option;
    arguments[2] = (char *)script;
    arguments[3] = NULL;
    return bproc_capture(shell, arguments, NULL, BPROC_CAPTURE_AT_ENTRY, NULL);
}

static void describe(struct bproc_job_request *request, int image) {
    memset(request, 0, sizeof *request);
    request->struct_bytes = sizeof *request;
    request->image = image;
    request->rank_count = 2;
    request->nodes = nodes;
    request->command = shell;
    request->io_count = BPROC_JOB_FORWARD;
}

/* A job of two ranks, or NULL, which has been reported. */
static bproc_job_t *launch_with(const char *script, unsigned int flags) {
    struct bproc_job_request request;
    bproc_job_t *job = NULL;
    int image = capture_script(script);
    CHECK(image >= 0);
    describe(&request, image);
    request.flags = flags;
    CHECK(bproc_job_launch(&request, &job) == 0);
    close(image);
    return job;
}

static bproc_job_t *launch(const char *script) { return launch_with(script, 0); }

/* The next event; the end if nothing comes for a minute. */
static struct bproc_job_event next(bproc_job_t *job) {
    struct bproc_job_event event;
    int found;
    memset(&event, 0, sizeof event);
    while ((found = bproc_job_next(job, &event)) == 0) {
        struct pollfd entry;
        entry.fd = bproc_job_descriptor(job);
        entry.events = bproc_job_poll_events(job);
        CHECK(entry.events & POLLIN);
        int ready = poll(&entry, 1, 60000);
        CHECK(ready == 1);
        if (ready != 1) found = -1;
        if (found < 0) break;
    }
    CHECK(found == 1);
    if (found != 1) event.kind = BPROC_EVENT_END;
    return event;
}

/* Takes all events to the end, output included. */
struct summary {
    int started, failed, ended, exits;
    int status[2];
    int pids[2];
    size_t output_bytes[3];
    char output[64];
};

static struct summary drain(bproc_job_t *job) {
    struct summary summary;
    memset(&summary, 0, sizeof summary);
    while (!summary.ended) {
        struct bproc_job_event event = next(job);
        switch (event.kind) {
        case BPROC_EVENT_STARTED: summary.started = event.placed_count; break;
        case BPROC_EVENT_FAILURE: summary.failed++; break;
        case BPROC_EVENT_EXIT:
            summary.exits++;
            summary.status[event.rank] = event.status;
            summary.pids[event.rank] = event.process;
            break;
        case BPROC_EVENT_OUTPUT:
            if (summary.output_bytes[0] + event.byte_count < sizeof summary.output) {
                memcpy(summary.output + summary.output_bytes[0], event.bytes,
                       (size_t)event.byte_count);
                summary.output_bytes[0] += (size_t)event.byte_count;
            }
            summary.output_bytes[event.stream] += (size_t)event.byte_count;
            if (event.byte_count) {
                (void)bproc_job_consumed(job, event.rank, event.stream, (size_t)event.byte_count);
            }
            break;
        case BPROC_EVENT_END:
            CHECK(event.error == 0);
            summary.ended = 1;
            break;
        default: break;
        }
    }
    return summary;
}

static void capture(void) {
    char *arguments[2];
    struct bproc_capture_info info;
    arguments[0] = shell;
    arguments[1] = NULL;
    CHECK_FAILS(bproc_capture(NULL, arguments, NULL, BPROC_CAPTURE_AT_ENTRY, NULL), EFAULT);
    CHECK_FAILS(bproc_capture(shell, NULL, NULL, BPROC_CAPTURE_AT_ENTRY, NULL), EFAULT);
    CHECK_FAILS(bproc_capture(shell, arguments, NULL, 5, NULL), EINVAL);
    if (!has_cluster) {
        CHECK_FAILS(bproc_capture(shell, arguments, NULL, BPROC_CAPTURE_AT_ENTRY, NULL), EBUSY);
        return;
    }
    int image = bproc_capture(shell, arguments, NULL, BPROC_CAPTURE_AT_EXEC, &info);
    CHECK(image >= 0);
    CHECK(info.image_bytes > 4096 && lseek(image, 0, SEEK_END) == (off_t)info.image_bytes);
    close(image);
    CHECK_FAILS(bproc_capture("/missing", arguments, NULL, BPROC_CAPTURE_AT_ENTRY, NULL), ENOENT);
}

static void job_launch(void) {
    struct bproc_job_request request;
    bproc_job_t *job = NULL;
    int file = dup(0);
    describe(&request, file);
    CHECK_FAILS(bproc_job_launch(&request, NULL), EFAULT);
    CHECK_FAILS(bproc_job_next(NULL, NULL), EFAULT);
    CHECK(bproc_job_poll_events(NULL) == 0);
    CHECK_FAILS(bproc_job_launch(NULL, &job), EFAULT);
    request.struct_bytes--;
    CHECK_FAILS(bproc_job_launch(&request, &job), EINVAL);
    describe(&request, -1);
    CHECK_FAILS(bproc_job_launch(&request, &job), EBADF);
    describe(&request, file);
    request.rank_count = -1;
    CHECK_FAILS(bproc_job_launch(&request, &job), EINVAL);
    describe(&request, file);
    request.nodes = NULL;
    CHECK_FAILS(bproc_job_launch(&request, &job), EFAULT);
    describe(&request, file);
    request.flags = ~0u;
    CHECK_FAILS(bproc_job_launch(&request, &job), EINVAL);
    describe(&request, file);
    if (!has_cluster) CHECK_FAILS(bproc_job_launch(&request, &job), EBUSY);
    CHECK(job == NULL);
    close(file);
    if (!has_cluster) return;
    job = launch("exit 3");
    struct summary summary = drain(job);
    CHECK(summary.started == 2 && summary.failed == 0 && summary.exits == 2);
    CHECK(summary.status[0] == 3 << 8 && summary.status[1] == 3 << 8);
    bproc_job_close(job);
}

static void job_wait_started(void) {
    CHECK_FAILS(bproc_job_wait_started(NULL), EFAULT);
    CHECK(bproc_job_pids(NULL) == NULL);
    if (!has_cluster) return;
    bproc_job_t *job = launch("exit 0");
    CHECK(bproc_job_wait_started(job) == 0);
    CHECK(bproc_job_pids(job)[0] > 0 && bproc_job_pids(job)[1] > 0);
    /* The events are still to be read. */
    struct summary summary = drain(job);
    CHECK(summary.started == 2);
    CHECK(summary.pids[1] == bproc_job_pids(job)[1]);
    bproc_job_close(job);
}

static void job_ranks(void) {
    CHECK_FAILS(bproc_job_rank_count(NULL), EFAULT);
    CHECK(bproc_job_nodes(NULL) == NULL);
    if (!has_cluster) return;
    bproc_job_t *job = launch("exit 0");
    CHECK(bproc_job_rank_count(job) == 2);
    CHECK(bproc_job_nodes(job)[0] == 0 && bproc_job_nodes(job)[1] == 1);
    CHECK(bproc_job_nodes(job) != nodes);
    drain(job);
    bproc_job_close(job);
}

static void job_failure(void) {
    struct bproc_job_request request;
    struct bproc_job_event failure;
    bproc_job_t *job = NULL;
    int list[2] = {0, 2};
    CHECK_FAILS(bproc_job_failure(NULL, 0, &failure), EFAULT);
    if (!has_cluster) return;
    int image = capture_script("exit 0");
    describe(&request, image);
    request.nodes = list;
    CHECK(bproc_job_launch(&request, &job) == 0);
    close(image);
    struct summary summary = drain(job);
    CHECK(summary.failed == 1 && summary.started == 1);
    CHECK(bproc_job_failure(job, 1, &failure) == 0);
    CHECK(failure.error == BE_NODEDOWN && failure.node == 2);
    CHECK(failure.stage == BPROC_STAGE_PLAN && *failure.text);
    CHECK_FAILS(bproc_job_failure(job, 0, &failure), ENOENT);
    CHECK_FAILS(bproc_job_failure(job, 2, &failure), ENOENT);
    CHECK_FAILS(bproc_job_failure(job, -1, &failure), ENOENT);
    bproc_job_close(job);
}

static void job_usage(void) {
    struct bproc_usage usage;
    CHECK_FAILS(bproc_job_usage(NULL, 0, &usage), EFAULT);
    if (!has_cluster) return;
    bproc_job_t *job = launch("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; read line");
    CHECK(bproc_job_wait_started(job) == 0);
    CHECK_FAILS(bproc_job_usage(job, 0, &usage), ENOENT);
    CHECK(bproc_job_close_input(job, BPROC_JOB_ALL_RANKS) == 0);
    drain(job);
    for (int rank = 0; rank < 2; rank++) {
        CHECK(bproc_job_usage(job, rank, &usage) == 0);
        CHECK(usage.user_microseconds + usage.system_microseconds > 1000);
        CHECK(usage.max_resident_kilobytes > 100);
    }
    CHECK_FAILS(bproc_job_usage(job, 2, &usage), ENOENT);
    CHECK_FAILS(bproc_job_usage(job, 0, NULL), EFAULT);
    bproc_job_close(job);
}

static void job_stage_times(void) {
    struct bproc_job_times times;
    CHECK_FAILS(bproc_job_stage_times(NULL, 0, &times), EFAULT);
    if (!has_cluster) return;
    struct bproc_job_request request;
    int list[2] = {0, 2};
    bproc_job_t *job = NULL;
    int image = capture_script("exit 0");
    describe(&request, image);
    request.nodes = list;
    request.flags |= BPROC_JOB_TIMES;
    CHECK(bproc_job_launch(&request, &job) == 0);
    close(image);
    CHECK(bproc_job_wait_started(job) == 0);
    CHECK(bproc_job_stage_times(job, 0, &times) == 0);
    CHECK(times.reached <= times.header && times.header <= times.complete);
    CHECK(times.complete > 0 && times.complete <= times.placed);
    /* Node 2 is down. */
    CHECK_FAILS(bproc_job_stage_times(job, 1, &times), ENOENT);
    CHECK_FAILS(bproc_job_stage_times(job, 2, &times), ENOENT);
    CHECK_FAILS(bproc_job_stage_times(job, 0, NULL), EFAULT);
    bproc_job_close(job);
    job = launch("exit 0");
    CHECK(bproc_job_wait_started(job) == 0);
    /* Nobody has asked. */
    CHECK_FAILS(bproc_job_stage_times(job, 0, &times), ENOENT);
    bproc_job_close(job);
}

static void job_other_pids(void) {
    int rank = -1;
    CHECK_FAILS(bproc_job_other_pids(NULL, &rank), EFAULT);
    if (!has_cluster) return;
    bproc_job_t *job = launch("exit 0");
    CHECK(bproc_job_other_pids(job, NULL) == 0);
    CHECK(bproc_job_wait_started(job) == 0);
    /* A launch without ghosts has no pids to be taken; bpsh's test has those that are. */
    CHECK(bproc_job_other_pids(job, &rank) == 0 && rank == -1);
    bproc_job_close(job);
}

static void job_input(void) {
    CHECK_FAILS(bproc_job_write(NULL, 0, "x", 1), EFAULT);
    CHECK_FAILS(bproc_job_close_input(NULL, 0), EFAULT);
    CHECK_FAILS(bproc_job_consumed(NULL, 0, 1, 1), EFAULT);
    CHECK(bproc_job_input_room(NULL) == 0);
    if (!has_cluster) return;
    bproc_job_t *job = launch("cat; echo err >&2");
    CHECK(bproc_job_wait_started(job) == 0);
    CHECK(bproc_job_input_room(job) >= 5);
    CHECK(bproc_job_write(job, BPROC_JOB_ALL_RANKS, "all\n", 4) == 4);
    CHECK(bproc_job_write(job, 1, "one\n", 4) == 4);
    CHECK(bproc_job_write(job, 0, NULL, 0) == 0);
    CHECK_FAILS(bproc_job_write(job, 0, NULL, 4), EFAULT);
    CHECK_FAILS(bproc_job_write(job, 2, "x", 1), EINVAL);
    CHECK_FAILS(bproc_job_close_input(job, -2), EINVAL);
    CHECK(bproc_job_close_input(job, 0) == 0);
    CHECK(bproc_job_close_input(job, BPROC_JOB_ALL_RANKS) == 0);
    CHECK_FAILS(bproc_job_write(job, 1, "x", 1), EPIPE);
    CHECK(bproc_job_input_room(job) == 0);
    CHECK_FAILS(bproc_job_consumed(job, 0, 3, 1), EINVAL);
    CHECK_FAILS(bproc_job_consumed(job, BPROC_JOB_ALL_RANKS, 1, 1), EINVAL);
    CHECK_FAILS(bproc_job_consumed(job, 9, 1, 1), EINVAL);
    struct summary summary = drain(job);
    CHECK(summary.output_bytes[1] == 12 && summary.output_bytes[2] == 8);
    CHECK(strstr(summary.output, "one\n") != NULL);
    bproc_job_close(job);
}

static void job_signal(void) {
    CHECK_FAILS(bproc_job_signal(NULL, 0, SIGTERM), EFAULT);
    if (!has_cluster) return;
    bproc_job_t *job = launch("exec sleep 1000");
    CHECK(bproc_job_wait_started(job) == 0);
    CHECK_FAILS(bproc_job_signal(job, 0, 0), EINVAL);
    CHECK_FAILS(bproc_job_signal(job, 0, 100000), EINVAL);
    CHECK_FAILS(bproc_job_signal(job, 2, SIGTERM), EINVAL);
    CHECK(bproc_job_signal(job, 0, SIGTERM) == 0);
    CHECK(bproc_job_signal(job, BPROC_JOB_ALL_RANKS, SIGKILL) == 0);
    struct summary summary = drain(job);
    CHECK((summary.status[0] & 0x7f) == SIGTERM || (summary.status[0] & 0x7f) == SIGKILL);
    CHECK((summary.status[1] & 0x7f) == SIGKILL);
    bproc_job_close(job);
}

static void job_children(void) {
    CHECK_FAILS(bproc_job_has_children(NULL), EFAULT);
    if (!has_cluster) return;
    bproc_job_t *job = launch_with("exec sleep 1000", BPROC_JOB_END_WITH_CALLER);
    CHECK(bproc_job_wait_started(job) == 0);
    CHECK(bproc_job_has_children(job) == 0);
    bproc_job_close(job);
    job = launch_with("read line; exit 5", BPROC_JOB_CHILDREN);
    CHECK(bproc_job_wait_started(job) == 0);
    /* On a node the daemon makes none. */
    int has_children = bproc_job_has_children(job);
    CHECK(has_children == (bproc_currnode() == BPROC_NODE_MASTER));
    int pids[2];
    memcpy(pids, bproc_job_pids(job), sizeof pids);
    if (has_children) {
        int status = 0;
        CHECK(waitpid(pids[0], &status, WNOHANG) == 0);
        CHECK(kill(pids[0], SIGSTOP) == 0);
        CHECK(waitpid(pids[0], &status, WUNTRACED) == pids[0] && WIFSTOPPED(status));
        CHECK(kill(pids[0], SIGCONT) == 0);
    }
    CHECK(bproc_job_close_input(job, BPROC_JOB_ALL_RANKS) == 0);
    struct summary summary = drain(job);
    for (int rank = 0; rank < 2; rank++) {
        int status = 0;
        CHECK(summary.status[rank] == 5 << 8);
        if (has_children) CHECK(waitpid(pids[rank], &status, 0) == pids[rank]);
        if (has_children) CHECK(status == 5 << 8);
    }
    bproc_job_close(job);
}

static void job_close(void) {
    bproc_job_close(NULL);
    CHECK_FAILS(bproc_job_descriptor(NULL), EFAULT);
    if (!has_cluster) return;
    bproc_job_t *job = launch_with("exec sleep 1000", BPROC_JOB_END_WITH_CALLER);
    CHECK(bproc_job_wait_started(job) == 0);
    int descriptor = bproc_job_descriptor(job);
    bproc_job_close(job);
    CHECK(close(descriptor) == -1 && errno == EBADF);
}

const struct test_case job_cases[] = {
    {"bproc_capture", capture},
    {"bproc_job_launch", job_launch},
    {"bproc_job_next", job_launch},
    {"bproc_job_poll_events", job_launch},
    {"bproc_job_wait_started", job_wait_started},
    {"bproc_job_pids", job_wait_started},
    {"bproc_job_nodes", job_ranks},
    {"bproc_job_rank_count", job_ranks},
    {"bproc_job_has_children", job_children},
    {"bproc_job_failure", job_failure},
    {"bproc_job_usage", job_usage},
    {"bproc_job_stage_times", job_stage_times},
    {"bproc_job_other_pids", job_other_pids},
    {"bproc_job_write", job_input},
    {"bproc_job_input_room", job_input},
    {"bproc_job_close_input", job_input},
    {"bproc_job_consumed", job_input},
    {"bproc_job_signal", job_signal},
    {"bproc_job_close", job_close},
    {"bproc_job_descriptor", job_close},
    {NULL, NULL},
};
