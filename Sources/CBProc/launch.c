// What goes from the caller to a job: the launch itself, input, signals, credit.
#define _GNU_SOURCE
#include "internal.h"
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RANKS_MAX = 1 << 20 };

_Static_assert(sizeof(struct bproc_io_t) == 280, "bproc_io_t");
_Static_assert(BPROC_JOB_FORWARD == (int)BPROC_LOCAL_IO_FORWARD, "the protocol's");
_Static_assert((int)RLIMIT_NLIMITS <= BPROC_LOCAL_RLIMITS, "a limit has no place");

int bplib_check_io(const struct bproc_io_t *io, int io_count) {
    if (io_count == BPROC_JOB_FORWARD) return 0;
    if (io_count < 0 || io_count > BPROC_IO_MAX_LEN) {
        return bplib_fail(EINVAL, "%d I/O entries; %d are the most", io_count, BPROC_IO_MAX_LEN);
    }
    if (io_count > 0 && !io) return bplib_fail(EFAULT, "no I/O entries");
    for (int i = 0; i < io_count; i++) {
        if (io[i].type == BPROC_IO_MEMFILE) {
            return bplib_fail(EPERM, "I/O entry %d: files in memory are internal", i);
        }
        if (io[i].type != BPROC_IO_FILE && io[i].type != BPROC_IO_SOCKET) {
            return bplib_fail(EINVAL, "I/O entry %d: unknown type %d", i, io[i].type);
        }
        if (io[i].fd < 0) return bplib_fail(EINVAL, "I/O entry %d: descriptor %d", i, io[i].fd);
        if (io[i].flags & ~(BPROC_IO_SEND_INFO | BPROC_IO_DELAY)) {
            return bplib_fail(EINVAL, "I/O entry %d: unknown flags %#x", i, io[i].flags);
        }
        const char *name = io[i].d.file.name;
        if (io[i].type == BPROC_IO_FILE && !memchr(name, 0, sizeof io[i].d.file.name)) {
            return bplib_fail(EINVAL, "I/O entry %d: a name without an end", i);
        }
    }
    return 0;
}

int bplib_check_request(const struct bproc_job_request *request) {
    if (!request) return bplib_fail(EFAULT, "no request");
    if (request->struct_bytes != sizeof *request) {
        return bplib_fail(EINVAL, "a job request of another version of this library");
    }
    if (request->rank_count <= 0 || request->rank_count > RANKS_MAX) {
        return bplib_fail(EINVAL, "%d ranks; 1 to %d can be started", request->rank_count,
                          RANKS_MAX);
    }
    if (!request->nodes || !request->command) return bplib_fail(EFAULT, "no nodes, or no command");
    const unsigned int known = BPROC_JOB_PROGRESS | BPROC_JOB_HOLD | BPROC_JOB_NULL_INPUT |
                               BPROC_JOB_FORWARD_REST | BPROC_JOB_TIMES | BPROC_JOB_CHILDREN |
                               BPROC_JOB_END_WITH_CALLER;
    if (request->flags & ~known) {
        return bplib_fail(EINVAL, "unknown flags %#x", request->flags);
    }
    if (fcntl(request->image, F_GETFD) < 0) return bplib_fail(EBADF, "the image is no descriptor");
    return bplib_check_io(request->io, request->io_count);
}

// The process's umask. The kernel tells it without changing it only here; where /proc is missing it
// is set and set back, which another thread could notice.
static uint32_t current_umask(void) {
    char text[4096];
    int descriptor = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        ssize_t count = read(descriptor, text, sizeof text - 1);
        close(descriptor);
        if (count > 0) {
            text[count] = 0;
            const char *line = strstr(text, "\nUmask:");
            if (line) return (uint32_t)strtoul(line + strlen("\nUmask:"), NULL, 8) & 0777;
        }
    }
    mode_t mask = umask(077);
    (void)umask(mask);
    return mask;
}

static void describe_caller(struct bproc_local_launch *launch) {
    launch->umask = current_umask();
    launch->nice = getpriority(PRIO_PROCESS, 0);
    for (int resource = 0; resource < (int)RLIMIT_NLIMITS; resource++) {
        struct rlimit limit;
        if (getrlimit((__rlimit_resource_t)resource, &limit) < 0) {
            limit.rlim_cur = limit.rlim_max = RLIM_INFINITY;
        }
        launch->limits[resource].soft = limit.rlim_cur;
        launch->limits[resource].hard = limit.rlim_max;
    }
}

static int queue_launch(bproc_job_t *job, const struct bproc_job_request *request,
                        const struct bplib_numbers *numbers) {
    struct bproc_local_launch launch = {
        .rank_count = (uint32_t)request->rank_count,
        .io_count = request->io_count,
        .flags = (request->flags & BPROC_JOB_PROGRESS ? BPROC_LOCAL_LAUNCH_PROGRESS : 0) |
                 (request->flags & BPROC_JOB_TIMES ? BPROC_LOCAL_LAUNCH_TIMES : 0) |
                 (request->flags & BPROC_JOB_HOLD ? BPROC_LOCAL_LAUNCH_HOLD : 0) |
                 (request->flags & BPROC_JOB_FORWARD_REST ? BPROC_LOCAL_LAUNCH_FORWARD : 0),
        .stdin_mode = request->flags & BPROC_JOB_NULL_INPUT ? 1 : 0,
        .fan_out = request->fan_out,
        .chunk_byte_count = request->chunk_byte_count,
        .first_rank = numbers->first_rank,
    };
    const int *processes = numbers->processes;
    // Delayed descriptors are set up when all ranks are in place, so nobody may run before.
    for (int i = 0; i < request->io_count; i++) {
        if (request->io[i].flags & BPROC_IO_DELAY) launch.flags |= BPROC_LOCAL_LAUNCH_HOLD;
    }
    if (processes) launch.flags |= BPROC_LOCAL_LAUNCH_PROCESSES;
    // A process that moves has only the one; where it is taken it goes on under another.
    if (processes && (numbers->are_own || numbers->may_differ)) {
        launch.flags |= BPROC_LOCAL_LAUNCH_ANY_PID;
    }
    if (numbers->are_own) launch.flags |= BPROC_LOCAL_LAUNCH_MOVE;
    if (numbers->wants_stops) launch.flags |= BPROC_LOCAL_LAUNCH_STOPS;
    describe_caller(&launch);
    char *directory = getcwd(NULL, 0);
    // A directory that was removed, or lies outside the caller's root, has no name that a node
    // knows.
    const char *name = directory && *directory == '/' ? directory : "/";
    size_t io_bytes =
        request->io_count > 0 ? (size_t)request->io_count * sizeof *request->io : 0;
    launch.directory_bytes = (uint32_t)strlen(name);
    launch.command_bytes = (uint32_t)strnlen(request->command, BPROC_LOCAL_BODY_MAX);
    struct iovec parts[] = {
        {&launch, sizeof launch},
        {job->nodes, (size_t)job->rank_count * sizeof(int32_t)},
        {(void *)processes, processes ? (size_t)job->rank_count * sizeof(int32_t) : 0},
        {(void *)request->io, io_bytes},
        {(void *)name, launch.directory_bytes},
        {(void *)request->command, launch.command_bytes},
    };
    int result = bplib_channel_queue(&job->channel, BPROC_LOCAL_LAUNCH, parts, 6);
    free(directory);
    return result;
}

int bplib_launch_job(struct bplib_channel *channel, const struct bproc_job_request *request,
                     struct bplib_numbers numbers, bproc_job_t **result) {
    if (bplib_check_request(request) < 0) return -1;
    struct bproc_job *job = bplib_job_create(request);
    if (!job) return -1;
    if (channel) {
        job->channel = *channel;
        *channel = (struct bplib_channel){.descriptor = -1, .received = {-1, -1}};
    } else if (bplib_channel_open(&job->channel) < 0) {
        bproc_job_close(job);
        return -1;
    }
    if (queue_launch(job, request, &numbers) < 0 ||
        bplib_channel_send(&job->channel, request->image, BPLIB_ANSWER_MILLISECONDS) < 0) {
        bproc_job_close(job);
        return -1;
    }
    *result = job;
    return 0;
}

int bproc_job_launch(const struct bproc_job_request *request, bproc_job_t **result) {
    if (!result) return bplib_fail(EFAULT, "no place for the job");
    *result = NULL;
    bool has_children = request && (request->flags & BPROC_JOB_CHILDREN);
    int outcome =
        has_children
            ? bplib_launch_parent(request, result)
            : bplib_launch_job(NULL, request, (struct bplib_numbers){.processes = NULL}, result);
    if (outcome == 0) {
        (*result)->outlives_caller = !(request->flags & BPROC_JOB_END_WITH_CALLER);
    }
    return outcome;
}

int bplib_keep_ranks(bproc_job_t *job) {
    if (!job->outlives_caller) return 0;
    if (bplib_channel_queue(&job->channel, BPROC_LOCAL_KEEP, NULL, 0) < 0) return -1;
    // Whoever reads the channel next finds out why it could not go.
    (void)bplib_channel_flush(&job->channel);
    return 0;
}

void bplib_leave_ranks(bproc_job_t *job) {
    if (!job->outlives_caller || !job->started || job->channel.descriptor < 0) return;
    (void)bplib_channel_send(&job->channel, -1, BPLIB_ANSWER_MILLISECONDS);
}

bproc_job_t *bplib_launch(struct bplib_channel *channel, int image, int rank_count,
                          const int *nodes, const struct bplib_numbers *numbers,
                          const struct bproc_io_t *io, int iolen, const char *command) {
    struct bproc_job_request request = {
        .struct_bytes = sizeof request,
        .image = image,
        .rank_count = rank_count,
        .nodes = nodes,
        .command = command,
        .io = io,
        .io_count = iolen,
        // The original's default input; its output is forwarded.
        .flags = iolen == BPROC_JOB_FORWARD ? BPROC_JOB_NULL_INPUT : 0,
    };
    bproc_job_t *job = NULL;
    int result = bplib_launch_job(channel, &request, *numbers, &job);
    if (result == 0 && bproc_job_wait_started(job) < 0) {
        bproc_job_close(job);
        job = NULL;
    }
    int error = errno;
    close(image);
    errno = error;
    return job;
}

// A rank as the protocol names it.
static int wire_rank(const bproc_job_t *job, int rank, uint32_t *number) {
    if (!job) return bplib_fail(EFAULT, "no job");
    if (rank == BPROC_JOB_ALL_RANKS) {
        *number = BPROC_LOCAL_ALL_RANKS;
        return 0;
    }
    if (rank < 0 || rank >= job->rank_count) return bplib_fail(EINVAL, "there is no rank %d", rank);
    *number = (uint32_t)rank;
    return 0;
}

static int queue_and_flush(bproc_job_t *job, uint16_t kind, const struct iovec *parts, int count) {
    if (job->end_error || job->channel.descriptor < 0) {
        return bplib_fail(ECONNRESET, "the job has ended");
    }
    if (bplib_channel_queue(&job->channel, kind, parts, count) < 0) return -1;
    return bplib_channel_flush(&job->channel);
}

size_t bproc_job_input_room(const bproc_job_t *job) {
    if (!job) return 0;
    // What does not fit the socket waits in memory, so nothing is added to it.
    bool waiting = job->channel.out.start < job->channel.out.end;
    return waiting || job->input_ended ? 0 : job->input_room;
}

long bproc_job_write(bproc_job_t *job, int rank, const void *bytes, size_t byte_count) {
    struct bproc_local_stream stream = {.stream = 0};
    if (wire_rank(job, rank, &stream.rank) < 0) return -1;
    if (byte_count == 0) return 0;
    if (!bytes) return bplib_fail(EFAULT, "no input");
    if (job->input_ended) return bplib_fail(EPIPE, "the input has been closed");
    if (bplib_channel_flush(&job->channel) < 0) return -1;
    size_t room = bproc_job_input_room(job);
    if (room == 0) return bplib_fail(EAGAIN, "the ranks have not taken the input before");
    if (byte_count > room) byte_count = room;
    struct iovec parts[] = {{&stream, sizeof stream}, {(void *)bytes, byte_count}};
    if (queue_and_flush(job, BPROC_LOCAL_INPUT, parts, 2) < 0) return -1;
    job->input_room -= byte_count;
    return (long)byte_count;
}

int bproc_job_close_input(bproc_job_t *job, int rank) {
    struct bproc_local_stream stream = {.stream = 0};
    if (wire_rank(job, rank, &stream.rank) < 0) return -1;
    if (job->input_ended) return 0;
    if (rank == BPROC_JOB_ALL_RANKS) job->input_ended = true;
    struct iovec part = {&stream, sizeof stream};
    return queue_and_flush(job, BPROC_LOCAL_INPUT, &part, 1);
}

int bproc_job_consumed(bproc_job_t *job, int rank, int stream, size_t byte_count) {
    struct bproc_local_credit credit = {.stream = (uint32_t)stream, .byte_count = byte_count};
    if (stream != 1 && stream != 2) return bplib_fail(EINVAL, "there is no output %d", stream);
    if (rank == BPROC_JOB_ALL_RANKS) return bplib_fail(EINVAL, "credit is given rank by rank");
    if (wire_rank(job, rank, &credit.rank) < 0) return -1;
    struct iovec part = {&credit, sizeof credit};
    return queue_and_flush(job, BPROC_LOCAL_OUTPUT_CREDIT, &part, 1);
}

int bproc_job_signal(bproc_job_t *job, int rank, int signal) {
    struct bproc_local_signal request = {.signal = signal};
    if (signal <= 0 || signal >= NSIG) return bplib_fail(EINVAL, "there is no signal %d", signal);
    if (wire_rank(job, rank, &request.rank) < 0) return -1;
    struct iovec part = {&request, sizeof request};
    return queue_and_flush(job, BPROC_LOCAL_SIGNAL, &part, 1);
}
