// One launch and its channel.
#define _GNU_SOURCE
#include "internal.h"
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* More than the output windows of many thousand ranks; beyond this a daemon is out of order. */
    BUFFER_BYTES_MAX = 512 << 20,
};

struct bproc_job *bplib_job_create(const struct bproc_job_request *request) {
    struct bproc_job *job = calloc(1, sizeof *job);
    size_t count = (size_t)request->rank_count;
    if (job) {
        bplib_job_disown(job);
        job->rank_count = request->rank_count;
        job->forwarding = request->io_count == BPROC_JOB_FORWARD ||
                          (request->flags & BPROC_JOB_FORWARD_REST);
        bool has_input = job->forwarding && !(request->flags & BPROC_JOB_NULL_INPUT);
        job->input_room = has_input ? BPROC_LOCAL_INPUT_WINDOW : 0;
        job->nodes = malloc(count * sizeof *job->nodes);
        job->pids = calloc(count, sizeof *job->pids);
        job->states = calloc(count, sizeof *job->states);
        job->failures = calloc(count, sizeof(struct bplib_failure *));
    }
    if (!job || !job->nodes || !job->pids || !job->states || !job->failures) {
        bproc_job_close(job);
        bplib_fail(ENOMEM, "out of memory: a job of %zu ranks", count);
        return NULL;
    }
    memcpy(job->nodes, request->nodes, count * sizeof *job->nodes);
    return job;
}

void bproc_job_close(bproc_job_t *job) {
    if (!job) return;
    int error = errno;
    bplib_drop_children(job);
    bplib_leave_ranks(job);
    bplib_channel_close(&job->channel);
    for (int rank = 0; job->failures && rank < job->rank_count; rank++) free(job->failures[rank]);
    free(job->failures);
    free(job->nodes);
    free(job->pids);
    free(job->states);
    free(job->usages);
    free(job->times);
    free(job);
    errno = error;
}

void bplib_job_move_above(bproc_job_t *job, int highest) {
    int descriptor = job->channel.descriptor;
    if (descriptor < 0 || descriptor > highest) return;
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, highest + 1);
    if (moved < 0) return;
    close(descriptor);
    job->channel.descriptor = moved;
}

void bplib_job_disown(bproc_job_t *job) {
    job->channel.descriptor = job->channel.received[0] = job->channel.received[1] = -1;
    job->ghosts = NULL;
    job->watch = -1;
}

static int no_job(void) { return bplib_fail(EFAULT, "no job"); }

const int *bproc_job_pids(const bproc_job_t *job) { return job ? job->pids : NULL; }
const int *bproc_job_nodes(const bproc_job_t *job) { return job ? job->nodes : NULL; }
int bproc_job_rank_count(const bproc_job_t *job) { return job ? job->rank_count : no_job(); }
int bproc_job_has_children(const bproc_job_t *job) { return job ? job->has_children : no_job(); }
int bproc_job_descriptor(const bproc_job_t *job) {
    return job ? job->channel.descriptor : no_job();
}

short bproc_job_poll_events(const bproc_job_t *job) {
    if (!job) return 0;
    bool waiting = job->channel.out.start < job->channel.out.end;
    return (short)(POLLIN | (waiting ? POLLOUT : 0));
}

// ---- What messages mean for the state ----

static bool rank_exists(const bproc_job_t *job, uint32_t rank) {
    return rank < (uint32_t)job->rank_count;
}

static int lie(const char *what, uint32_t number) {
    return bplib_fail(EPROTO, "the daemon spoke of %s %u; this job has none such", what, number);
}

// Marks what has ended of a rank, and counts the rank once nothing of it is left.
static void end_part(bproc_job_t *job, uint32_t rank, uint8_t parts) {
    uint8_t before = job->states[rank];
    uint8_t after = before | parts;
    if (!job->forwarding && (after & BPLIB_RANK_EXITED)) after |= BPLIB_RANK_OVER;
    job->states[rank] = after;
    bool was_over = (before & BPLIB_RANK_OVER) == BPLIB_RANK_OVER;
    bool is_over = (after & BPLIB_RANK_OVER) == BPLIB_RANK_OVER;
    if (is_over && !was_over) job->over_count++;
}

static int note_failure(bproc_job_t *job, uint32_t rank, int node, uint32_t stage, int error,
                        const char *reason, size_t reason_bytes) {
    if (error <= 0) error = EIO;
    struct bplib_failure *failure = job->failures[rank];
    if (!failure) failure = job->failures[rank] = malloc(sizeof *failure);
    if (!failure) return bplib_fail(ENOMEM, "out of memory");
    *failure = (struct bplib_failure){.node = node, .stage = (int)stage, .error = error};
    bplib_copy_text(failure->text, sizeof failure->text, reason, reason_bytes);
    job->pids[rank] = -error;
    end_part(job, rank, BPLIB_RANK_OVER);
    return 0;
}

static int note_launched(bproc_job_t *job, const struct bplib_message *message) {
    struct bproc_local_launched launched;
    memcpy(&launched, message->body, sizeof launched);
    size_t count = (size_t)job->rank_count;
    if (launched.rank_count != count ||
        message->header.body_bytes != sizeof launched + count * sizeof(int32_t)) {
        return bplib_fail(EPROTO, "the daemon answered for %u ranks with %u bytes; there are %zu",
                          launched.rank_count, message->header.body_bytes, count);
    }
    if (job->started) return bplib_fail(EPROTO, "the daemon reported the start twice");
    job->started = true;
    if (launched.other_pid_count > 0 && launched.other_pid_count <= count &&
        launched.first_other_pid < count) {
        job->other_pid_count = (int)launched.other_pid_count;
        job->first_other_pid = (int)launched.first_other_pid;
    }
    for (uint32_t rank = 0; rank < count; rank++) {
        int32_t pid;
        memcpy(&pid, message->body + sizeof launched + rank * sizeof pid, sizeof pid);
        if (pid > 0) {
            job->pids[rank] = pid;
        } else if (!job->failures[rank]) {
            // 0 is no process and no reason either. INT32_MIN has no negation.
            int error = pid < 0 && pid > INT_MIN ? -pid : EIO;
            const char *text = bproc_strerror(error);
            if (note_failure(job, rank, job->nodes[rank], BPROC_STAGE_NONE, error, text,
                             strlen(text)) < 0) {
                return -1;
            }
        }
    }
    if (job->ghosts && bplib_adopt_children(job) < 0) return -1;
    return bplib_keep_ranks(job);
}

static int note_usage(bproc_job_t *job, const struct bproc_local_exit *record) {
    if (!job->usages) job->usages = calloc((size_t)job->rank_count, sizeof *job->usages);
    if (!job->usages) return bplib_fail(ENOMEM, "out of memory");
    job->usages[record->rank] = (struct bproc_usage){
        .user_microseconds = record->user_microseconds,
        .system_microseconds = record->system_microseconds,
        .max_resident_kilobytes = record->max_resident_kilobytes,
    };
    return 0;
}

static int note_times(bproc_job_t *job, const struct bplib_message *message) {
    _Static_assert(sizeof(struct bproc_job_times) == sizeof(struct bproc_local_times), "the same");
    size_t bytes = (size_t)job->rank_count * sizeof *job->times;
    if (message->header.body_bytes != bytes || job->times) {
        return bplib_fail(EPROTO, "the daemon told times in %u bytes; there are %d ranks",
                          message->header.body_bytes, job->rank_count);
    }
    job->times = malloc(bytes);
    if (!job->times) return bplib_fail(ENOMEM, "out of memory");
    memcpy(job->times, message->body, bytes);
    return 0;
}

static int note_exits(bproc_job_t *job, const struct bplib_message *message) {
    size_t count = message->header.body_bytes / sizeof(struct bproc_local_exit);
    if (count * sizeof(struct bproc_local_exit) != message->header.body_bytes) {
        return bplib_fail(EPROTO, "%u bytes are no whole number of exits",
                          message->header.body_bytes);
    }
    for (size_t i = 0; i < count; i++) {
        struct bproc_local_exit record;
        memcpy(&record, message->body + i * sizeof record, sizeof record);
        if (!rank_exists(job, record.rank)) return lie("rank", record.rank);
        if (note_usage(job, &record) < 0) return -1;
        end_part(job, record.rank, record.cause != 0 ? BPLIB_RANK_OVER : BPLIB_RANK_EXITED);
    }
    return 0;
}

static int note_output(bproc_job_t *job, const struct bplib_message *message) {
    struct bproc_local_stream stream;
    memcpy(&stream, message->body, sizeof stream);
    if (!rank_exists(job, stream.rank)) return lie("rank", stream.rank);
    if (stream.stream != 1 && stream.stream != 2) return lie("stream", stream.stream);
    if (message->header.body_bytes == sizeof stream) {
        end_part(job, stream.rank,
                 stream.stream == 1 ? BPLIB_RANK_OUTPUT_ENDED : BPLIB_RANK_ERRORS_ENDED);
    }
    return 0;
}

static int note_refusal(bproc_job_t *job, const struct bplib_message *message) {
    struct bproc_local_refused refused;
    memcpy(&refused, message->body, sizeof refused);
    // Of a launch it is the end. Of a signal or an input it is the reason if the daemon then hangs
    // up.
    if (!job->started) job->end_error = refused.error > 0 ? refused.error : EIO;
    bplib_copy_text(job->end_text, sizeof job->end_text, refused.reason, sizeof refused.reason);
    return 0;
}

// The bytes that a message of a kind must have at least; SIZE_MAX: the kind has no place here.
static size_t least_bytes(uint16_t kind) {
    switch (kind) {
    case BPROC_LOCAL_PROGRESS: return sizeof(struct bproc_local_progress);
    case BPROC_LOCAL_FAILURE: return sizeof(struct bproc_local_failure);
    case BPROC_LOCAL_LAUNCHED: return sizeof(struct bproc_local_launched);
    case BPROC_LOCAL_TIMES:
    case BPROC_LOCAL_EXIT: return 0;
    case BPROC_LOCAL_OUTPUT: return sizeof(struct bproc_local_stream);
    case BPROC_LOCAL_INPUT_CREDIT: return sizeof(struct bproc_local_credit);
    case BPROC_LOCAL_REFUSED: return sizeof(struct bproc_local_refused);
    case BPROC_LOCAL_STOP: return sizeof(struct bproc_local_stop);
    default: return SIZE_MAX;
    }
}

static int note(bproc_job_t *job, const struct bplib_message *message) {
    size_t least = least_bytes(message->header.kind);
    if (least == SIZE_MAX) {
        return bplib_fail(EPROTO, "the daemon sent a message of kind %u", message->header.kind);
    }
    if (message->header.body_bytes < least) {
        return bplib_fail(EPROTO, "a message of kind %u has %u bytes; %zu are the least",
                          message->header.kind, message->header.body_bytes, least);
    }
    switch (message->header.kind) {
    case BPROC_LOCAL_FAILURE: {
        struct bproc_local_failure failure;
        memcpy(&failure, message->body, sizeof failure);
        if (!rank_exists(job, failure.rank)) return lie("rank", failure.rank);
        return note_failure(job, failure.rank, failure.node, failure.stage, failure.error,
                            failure.reason, sizeof failure.reason);
    }
    case BPROC_LOCAL_LAUNCHED: return note_launched(job, message);
    case BPROC_LOCAL_TIMES: return note_times(job, message);
    case BPROC_LOCAL_EXIT: return note_exits(job, message);
    case BPROC_LOCAL_OUTPUT: return note_output(job, message);
    case BPROC_LOCAL_REFUSED: return note_refusal(job, message);
    case BPROC_LOCAL_INPUT_CREDIT: {
        struct bproc_local_credit credit;
        memcpy(&credit, message->body, sizeof credit);
        size_t missing = BPROC_LOCAL_INPUT_WINDOW - job->input_room;
        job->input_room += credit.byte_count < missing ? (size_t)credit.byte_count : missing;
        return 0;
    }
    default: return 0;
    }
}

static void end_with_error(bproc_job_t *job) {
    if (job->end_error) return;
    job->end_error = errno;
    if (*job->end_text) return;
    bplib_copy_text(job->end_text, sizeof job->end_text, bproc_reason(), sizeof job->end_text);
}

bool bplib_job_over(const bproc_job_t *job) {
    return job->end_error || (job->started && job->over_count == job->rank_count);
}

// Takes note of every whole message that is in the buffer.
static void scan(bproc_job_t *job) {
    while (!job->end_error) {
        struct bplib_message message;
        int found = bplib_channel_peek(&job->channel, job->scanned_bytes, &message);
        if (found == 0) return;
        if (found < 0 || note(job, &message) < 0) {
            end_with_error(job);
            return;
        }
        job->scanned_bytes += sizeof message.header + message.header.body_bytes;
    }
}

// The daemon has ended, and what becomes of the ranks is not for it to say any more. What was still
// being started has no other master.
static void fail_lost(const bproc_job_t *job) {
    char consequence[128];
    uint32_t seconds = job->channel.welcome.grace_seconds;
    if (seconds > 0 && job->started) {
        snprintf(consequence, sizeof consequence,
                 "; the job's processes on the nodes are ended, unless another master takes them "
                 "within %u s", seconds);
    } else {
        snprintf(consequence, sizeof consequence,
                 "; the job's processes on the nodes are ended");
    }
    bplib_fail_lost(job->channel.descriptor, consequence);
}

// Reads what is there and takes note of it. 1: there was something.
static int read_and_scan(bproc_job_t *job) {
    if (job->channel.descriptor < 0 || job->end_error) return 0;
    if (bplib_channel_flush(&job->channel) < 0 && errno != ECONNRESET) end_with_error(job);
    if (job->channel.in.end - job->channel.in.start > BUFFER_BYTES_MAX) {
        bplib_fail(EPROTO, "the daemon sent more than %d bytes that nobody asked for",
                   BUFFER_BYTES_MAX);
        end_with_error(job);
        return 0;
    }
    int came = bplib_channel_read(&job->channel);
    if (came < 0) end_with_error(job);
    scan(job);
    if (job->channel.ended && !bplib_job_over(job)) {
        fail_lost(job);
        end_with_error(job);
    }
    return came > 0;
}

int bproc_job_wait_started(bproc_job_t *job) {
    if (!job) return no_job();
    scan(job);
    while (!job->started && !job->end_error) {
        if (read_and_scan(job) > 0 || job->started || job->end_error) continue;
        if (bplib_channel_wait(&job->channel, bproc_job_poll_events(job), -1) < 0) {
            end_with_error(job);
        }
    }
    return job->started ? 0 : bplib_fail(job->end_error, "%s", job->end_text);
}

// ---- Events ----

static struct bproc_job_event failure_event(const bproc_job_t *job, uint32_t rank) {
    const struct bplib_failure *failure = job->failures[rank];
    return (struct bproc_job_event){.kind = BPROC_EVENT_FAILURE,
                                    .rank = (int)rank,
                                    .node = failure->node,
                                    .stage = failure->stage,
                                    .error = failure->error,
                                    .text = failure->text};
}

int bproc_job_failure(const bproc_job_t *job, int rank, struct bproc_job_event *failure) {
    if (!job || !failure) return bplib_fail(EFAULT, "no job, or no place for the failure");
    if (rank < 0 || rank >= job->rank_count || !job->failures[rank]) {
        return bplib_fail(ENOENT, "rank %d has not failed", rank);
    }
    *failure = failure_event(job, (uint32_t)rank);
    return 0;
}

int bproc_job_usage(const bproc_job_t *job, int rank, struct bproc_usage *usage) {
    if (!job || !usage) return bplib_fail(EFAULT, "no job, or no place for the usage");
    if (rank < 0 || rank >= job->rank_count || !job->usages ||
        !(job->states[rank] & BPLIB_RANK_EXITED)) {
        return bplib_fail(ENOENT, "rank %d has not ended", rank);
    }
    *usage = job->usages[rank];
    return 0;
}

int bproc_job_stage_times(const bproc_job_t *job, int rank, struct bproc_job_times *times) {
    if (!job || !times) return bplib_fail(EFAULT, "no job, or no place for the times");
    if (rank < 0 || rank >= job->rank_count || !job->times || job->pids[rank] <= 0) {
        return bplib_fail(ENOENT, "no times of rank %d are known", rank);
    }
    *times = job->times[rank];
    return 0;
}

int bproc_job_other_pids(const bproc_job_t *job, int *rank) {
    if (!job) return no_job();
    if (rank && job->other_pid_count > 0) *rank = job->first_other_pid;
    return job->other_pid_count;
}

static struct bproc_job_event exit_event(const bproc_job_t *job, const unsigned char *body) {
    struct bproc_local_exit record;
    memcpy(&record, body, sizeof record);
    return (struct bproc_job_event){.kind = BPROC_EVENT_EXIT,
                                    .rank = (int)record.rank,
                                    .node = job->nodes[record.rank],
                                    .process = record.process,
                                    .status = record.status,
                                    .node_died = (int)record.cause};
}

// The event of a message that scan has found good.
static struct bproc_job_event event_of(const bproc_job_t *job,
                                       const struct bplib_message *message) {
    struct bproc_job_event event = {0};
    switch (message->header.kind) {
    case BPROC_LOCAL_LAUNCHED: {
        struct bproc_local_launched launched;
        memcpy(&launched, message->body, sizeof launched);
        event.kind = BPROC_EVENT_STARTED;
        event.rank_count = job->rank_count;
        event.placed_count = (int)launched.placed_count;
        event.nanoseconds = launched.placed_nanoseconds;
        event.fan_out = launched.fan_out;
        event.chunk_byte_count = launched.chunk_byte_count;
        break;
    }
    case BPROC_LOCAL_PROGRESS: {
        struct bproc_local_progress progress;
        memcpy(&progress, message->body, sizeof progress);
        event.kind = BPROC_EVENT_PROGRESS;
        event.rank_count = (int)progress.rank_count;
        event.reached_count = (int)progress.reached_count;
        event.placed_count = (int)progress.placed_count;
        event.failed_count = (int)progress.failed_count;
        event.done_count = (int)progress.done_count;
        event.byte_count = progress.image_bytes;
        break;
    }
    case BPROC_LOCAL_FAILURE: {
        struct bproc_local_failure failure;
        memcpy(&failure, message->body, sizeof failure);
        return failure_event(job, failure.rank);
    }
    case BPROC_LOCAL_OUTPUT: {
        struct bproc_local_stream stream;
        memcpy(&stream, message->body, sizeof stream);
        event.kind = BPROC_EVENT_OUTPUT;
        event.rank = (int)stream.rank;
        event.node = job->nodes[stream.rank];
        event.stream = (int)stream.stream;
        event.bytes = message->body + sizeof stream;
        event.byte_count = message->header.body_bytes - sizeof stream;
        break;
    }
    case BPROC_LOCAL_INPUT_CREDIT: event.kind = BPROC_EVENT_INPUT_CREDIT; break;
    default: break;
    }
    return event;
}

// The next event that scan has gone over; 0 when there is none.
static int take_event(bproc_job_t *job, struct bproc_job_event *event) {
    while (job->scanned_bytes > 0) {
        struct bplib_message message;
        if (bplib_channel_peek(&job->channel, 0, &message) != 1) return 0;
        size_t byte_count = sizeof message.header + message.header.body_bytes;
        bool taken = true;
        if (message.header.kind == BPROC_LOCAL_EXIT) {
            size_t offset = job->exit_index * sizeof(struct bproc_local_exit);
            if (offset < message.header.body_bytes) {
                *event = exit_event(job, message.body + offset);
                job->exit_index++;
                if (offset + sizeof(struct bproc_local_exit) < message.header.body_bytes) return 1;
            } else {
                taken = false;
            }
            job->exit_index = 0;
        } else {
            *event = event_of(job, &message);
            taken = event->kind != 0;
        }
        // The bytes stay where they are until more is read.
        job->channel.in.start += byte_count;
        job->scanned_bytes -= byte_count;
        if (taken) return 1;
    }
    return 0;
}

int bproc_job_next(bproc_job_t *job, struct bproc_job_event *event) {
    if (!job || !event) return bplib_fail(EFAULT, "no job, or no place for the event");
    if (take_event(job, event)) return 1;
    do {
        if (bplib_job_over(job)) {
            *event = (struct bproc_job_event){
                .kind = BPROC_EVENT_END, .error = job->end_error, .text = job->end_text};
            return 1;
        }
        int came = read_and_scan(job);
        if (take_event(job, event)) return 1;
        if (came == 0 && !bplib_job_over(job)) return 0;
    } while (true);
}
