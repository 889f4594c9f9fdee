// Ranks as children of the caller: ghosts, made and served by a helper.
//
//   caller ── between ── holder ── ghosts          before
//   caller ── ghosts                               after
//
// The helper, which becomes the holder, makes a ghost for each rank, all in its own small address
// space, and leaves a server behind that traces them. All of that is done while the caller goes on
// (beside.c): a caller that takes its own image has both in the time of one. When the launch is
// over, the ghosts of ranks that failed disappear below the holder. Then the holder is killed while
// the caller is the one that orphans go to, and the ghosts become children like any other. Until
// that moment the caller has no children of this call, whatever fails.
#define _GNU_SOURCE
#include "beside.h"
#include "internal.h"
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BYTES_MOST = 1 << 20 };

// In place of a pid while a call lasts: the rank has not begun, and gets another ghost.
enum { PID_TAKEN = INT_MIN };

struct bplib_ghosts {
    struct bplib_beside beside; // its helper becomes the holder
    int socket;                 // the helper's end, until it has begun; -1
    int error;
    struct bplib_channel channel; // to the server
    int wanted_count, made_count;
    int *pids;
    bool is_own;    // the one ghost is the caller itself
    int own_file;   // the memory that it shares with its server; -1
    bool is_making; // and nobody adopts orphans, and all signals are blocked
    int orphans;    // how it was before
    sigset_t mask;
    bool is_adopted;
    struct bplib_ghosts *next; // of the same call, adopted as well
};

// Starts the helper. All signals are blocked. 0 or -1.
static int start(struct bplib_ghosts *group, const struct bplib_helper *helper) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return bplib_fail(errno, "ghosts: socket pair: %s", bproc_strerror(errno));
    }
    group->socket = ends[1];
    if (bplib_channel_adopt(&group->channel, ends[0]) < 0) return -1;
    return bplib_begin_beside(&group->beside, helper, group->socket, "ghosts");
}

// Waits until the helper has begun, whose end is the end of its socket from then on. 0 or -1.
static int await_start(struct bplib_ghosts *group) {
    if (group->socket < 0) return 0;
    int result = bplib_await_beside(&group->beside);
    int error = errno;
    close(group->socket);
    group->socket = -1;
    errno = error;
    return result;
}

// Asks for the ghosts. 0 or -1.
static int ask(struct bplib_ghosts *group, const char *name) {
    struct bproc_local_ghosts question = {
        .count = (uint32_t)group->wanted_count,
        .flags = group->is_own ? BPROC_LOCAL_GHOSTS_SELF : 0,
    };
    const char *slash = strrchr(name, '/');
    if (slash && slash[1]) name = slash + 1;
    memcpy(question.name, name, strnlen(name, sizeof question.name - 1));
    struct iovec part = {&question, sizeof question};
    if (bplib_channel_queue(&group->channel, BPROC_LOCAL_GHOSTS, &part, 1) < 0) return -1;
    return bplib_channel_send(&group->channel, -1, -1);
}

// Waits for them. 0 or -1; fewer than wanted is no error here.
static int take(struct bplib_ghosts *group) {
    int count = group->wanted_count;
    struct bproc_local_ghosts_made made;
    struct bplib_message answer;
    if (await_start(group) < 0 ||
        bplib_channel_expect(&group->channel, &answer, BPROC_LOCAL_GHOSTS_MADE, sizeof made,
                             "ghosts") < 0) {
        return -1;
    }
    memcpy(&made, answer.body, sizeof made);
    size_t pids_bytes = answer.header.body_bytes - sizeof made;
    if (made.made_count > (uint32_t)count || pids_bytes != made.made_count * sizeof(int32_t)) {
        return bplib_fail(EPROTO, "ghosts: %u of %d in %zu bytes", made.made_count, count,
                          pids_bytes);
    }
    group->error = made.error > 0 ? made.error : EAGAIN;
    if (made.made_count == 0) {
        return bplib_fail(group->error, "ghosts: %s", bproc_strerror(group->error));
    }
    memcpy(group->pids, answer.body + sizeof made, pids_bytes);
    if (group->is_own) {
        group->own_file = group->channel.received[0];
        group->channel.received[0] = -1;
        if (group->own_file < 0) return bplib_fail(EPROTO, "ghosts: no memory to share");
    }
    group->made_count = (int)made.made_count;
    return 0;
}

// The ghosts are made, or will not be.
static void stop_making(struct bplib_ghosts *group) {
    if (!group->is_making) return;
    group->is_making = false;
    bplib_end_orphans(group->orphans);
    // What comes for a caller that moves is for the one that it will be.
    if (!group->is_own) (void)pthread_sigmask(SIG_SETMASK, &group->mask, NULL);
}

static struct bplib_ghosts *begin(const struct bplib_helper *helper, int count, const char *name,
                                  bool is_own) {
    sigset_t all;
    struct bplib_ghosts *group = calloc(1, sizeof *group);
    int *pids = malloc((size_t)count * sizeof *pids);
    if (!group || !pids) {
        free(group);
        free(pids);
        bplib_fail(ENOMEM, "out of memory: %d ranks", count);
        return NULL;
    }
    group->beside = (struct bplib_beside){.between = -1, .helper = -1};
    group->socket = group->own_file = -1;
    group->is_own = is_own;
    group->channel = (struct bplib_channel){.descriptor = -1, .received = {-1, -1}};
    group->wanted_count = count;
    group->pids = pids;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &group->mask);
    // The server shall not come back as a child.
    group->orphans = bplib_begin_orphans(0);
    group->is_making = true;
    if (start(group, helper) == 0 && ask(group, name) == 0) return group;
    bplib_end_ghosts(group);
    return NULL;
}

struct bplib_ghosts *bplib_begin_ghosts(const struct bplib_helper *helper, int count,
                                        const char *name) {
    return begin(helper, count, name, false);
}

struct bplib_ghosts *bplib_begin_own_ghost(const struct bplib_helper *helper, const char *name) {
    return begin(helper, 1, name, true);
}

// Ends the holder; orphans go to whom they go to at present.
static void release(struct bplib_ghosts *group) {
    bplib_kill_beside(&group->beside);
    bplib_bury_beside(&group->beside);
}

void bplib_end_ghosts(struct bplib_ghosts *group) {
    int error = errno;
    (void)await_start(group);
    stop_making(group);
    bplib_channel_close(&group->channel);
    // Ghosts that nobody adopts die with their server, which may take its time; a caller that
    // orphans go to must not see them do it.
    int before = bplib_begin_orphans(0);
    release(group);
    bplib_end_orphans(before);
    if (group->own_file >= 0) close(group->own_file);
    if (group->is_own) (void)pthread_sigmask(SIG_SETMASK, &group->mask, NULL);
    free(group->pids);
    free(group);
    errno = error;
}

void bplib_forget_ghosts(struct bplib_ghosts *group) {
    group->channel.descriptor = group->channel.received[0] = group->channel.received[1] = -1;
    bplib_channel_close(&group->channel);
    bplib_forget_orphans();
    bplib_set_mask(&group->mask);
    free(group->pids);
    free(group);
}

struct bplib_stretch bplib_ghosts_stretch(const struct bplib_ghosts *group) {
    return bplib_beside_stretch(&group->beside);
}

int bplib_take_ghosts(struct bplib_ghosts *group) {
    int result = take(group);
    int error = errno;
    stop_making(group);
    errno = error;
    if (result < 0 || group->made_count == group->wanted_count) return result;
    return bplib_fail(group->error, "ghosts: %d of %d can be made", group->made_count,
                      group->wanted_count);
}

const int *bplib_ghost_pids(const struct bplib_ghosts *group) { return group->pids; }

// The bytes of the job's channel that were received and not taken. 0 or -1.
static int queue_received(struct bplib_ghosts *group, const struct bplib_channel *channel) {
    const unsigned char *bytes = channel->in.bytes + channel->in.start;
    for (size_t left = channel->in.end - channel->in.start; left > 0;) {
        struct iovec part = {(void *)bytes, left < BYTES_MOST ? left : BYTES_MOST};
        if (bplib_channel_queue(&group->channel, BPROC_LOCAL_GHOSTS_BYTES, &part, 1) < 0) return -1;
        bytes += part.iov_len;
        left -= part.iov_len;
    }
    return 0;
}

// Hands the job over to the server, which lets the ghosts of failed ranks disappear.
static int hand_over(struct bplib_ghosts *group, bproc_job_t *job, int watch,
                     bool end_with_caller) {
    bool is_watch = watch >= 0;
    if (!is_watch && queue_received(group, &job->channel) < 0) return -1;
    struct bproc_local_ghosts_adopt adopt = {
        .count = (uint32_t)group->made_count,
        .flags = (job->forwarding && !is_watch ? BPROC_LOCAL_GHOSTS_FORWARD : 0) |
                 (end_with_caller ? BPROC_LOCAL_GHOSTS_END_WITH_CALLER : 0),
    };
    uint8_t *started = malloc((size_t)group->made_count);
    if (!started) return bplib_fail(ENOMEM, "out of memory: %d ranks", group->made_count);
    for (int rank = 0; rank < group->made_count; rank++) started[rank] = job->pids[rank] > 0;
    struct iovec parts[] = {{&adopt, sizeof adopt}, {started, (size_t)group->made_count}};
    int result = bplib_channel_queue(&group->channel, BPROC_LOCAL_GHOSTS_ADOPT, parts, 2);
    free(started);
    int channel = is_watch ? watch : job->channel.descriptor;
    return result < 0 ? -1 : bplib_channel_send(&group->channel, channel, -1);
}

static int await_ready(struct bplib_ghosts *group) {
    struct bplib_message answer;
    return bplib_channel_expect(&group->channel, &answer, BPROC_LOCAL_GHOSTS_READY,
                                sizeof(struct bproc_local_ghosts_ready), "ghosts");
}

int bplib_become_ghost(struct bplib_ghosts *group, bproc_job_t *job, void *page) {
    struct bproc_local_own_ghost *own = page;
    if (bplib_take_ghosts(group) < 0) return -1;
    if (mmap(page, sizeof *own, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, group->own_file,
             0) == MAP_FAILED) {
        return bplib_fail(errno, "ghosts: %s", bproc_strerror(errno));
    }
    // Where Yama lets only ancestors trace.
    (void)prctl(PR_SET_PTRACER, (unsigned long)own->server, 0, 0, 0);
    __atomic_store_n(&own->has_begun, 1, __ATOMIC_RELEASE);
    if (hand_over(group, job, -1, false) < 0 || await_ready(group) < 0) return -1;
    if (__atomic_load_n(&own->order, __ATOMIC_ACQUIRE) == 0) {
        return bplib_fail(EPERM, "ghosts: the server may not trace the caller");
    }
    int before = bplib_begin_orphans(0);
    release(group);
    bplib_end_orphans(before);
    if (bplib_channel_queue(&group->channel, BPROC_LOCAL_GHOSTS_ADOPTED, NULL, 0) < 0 ||
        bplib_channel_send(&group->channel, -1, BPLIB_ANSWER_MILLISECONDS) < 0) {
        return -1;
    }
    return 0;
}

// Whether the holder has ended, reaped or not: a signal of 0 reaches one that is not reaped, which
// has given its ghosts away long ago. The kernel does that and marks it as ended in one step, which
// prctl(PR_SET_CHILD_SUBREAPER) waits for; so one that lives now gives them to this process.
static bool holder_has_ended(const struct bplib_ghosts *group) {
    struct pollfd end = {.fd = group->beside.helper, .events = POLLIN};
    return poll(&end, 1, 0) != 0;
}

// Kills it, and waits until it has given its ghosts away. False: it was killed before.
static bool take_from_holder(struct bplib_ghosts *group) {
    struct pollfd end = {.fd = group->beside.helper, .events = POLLIN};
    if (holder_has_ended(group)) return false;
    bplib_kill_beside(&group->beside);
    while (poll(&end, 1, -1) < 0 && errno == EINTR) {}
    return true;
}

static bool has_failed_ranks(const struct bplib_ghosts *group, const bproc_job_t *job) {
    for (int rank = 0; rank < group->made_count; rank++) {
        if (job->pids[rank] <= 0) return true;
    }
    return false;
}

int bplib_adopt_ghosts(struct bplib_ghosts *group, bproc_job_t *job, int watch,
                       bool end_with_caller) {
    sigset_t all, mask;
    // Otherwise the server gets ready while the holder dies.
    bool needs_holder = has_failed_ranks(group, job);
    if (hand_over(group, job, watch, end_with_caller) < 0) return -1;
    if (needs_holder && await_ready(group) < 0) return -1;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &mask);
    int before = bplib_begin_orphans(1);
    bool is_there = take_from_holder(group);
    bplib_end_orphans(before);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (!is_there) return bplib_fail(ECHILD, "ghosts: their holder has been killed");
    group->is_adopted = true;
    // A server that has been killed meanwhile has taken its ghosts with it; they are children all
    // the same.
    if (!needs_holder) (void)await_ready(group);
    return 0;
}

void bplib_confirm_ghosts(struct bplib_ghosts *group) {
    if (bplib_channel_queue(&group->channel, BPROC_LOCAL_GHOSTS_ADOPTED, NULL, 0) == 0) {
        (void)bplib_channel_send(&group->channel, -1, BPLIB_ANSWER_MILLISECONDS);
    }
}

// What a call wants.
struct call {
    int image; // closed by whoever launches it
    int rank_count;
    uint32_t first_rank;
    const int *nodes;
    const struct bproc_io_t *io;
    int iolen;
    bool end_with_caller;
    const char *command;
    struct bplib_ghosts **adopted; // of all its launches
};

// Whether a rank did not begin because its node has a process of its ghost's pid already.
static bool is_taken(bproc_job_t *job, int rank) {
    struct bproc_job_event failure;
    return bproc_job_failure(job, rank, &failure) == 0 && failure.stage == BPROC_STAGE_SPAWN &&
           failure.error == EEXIST;
}

static int launch(struct bplib_channel *channel, struct bplib_ghosts *group,
                  const struct call *call, int *pids) {
    const struct bplib_numbers numbers = {.processes = group->pids,
                                          .first_rank = call->first_rank,
                                          .wants_stops = true};
    bproc_job_t *job = bplib_launch(channel, call->image, group->made_count, call->nodes, &numbers,
                                    call->io, call->iolen, call->command);
    if (!job) return -1;
    int started = 0;
    for (int rank = 0; rank < call->rank_count; rank++) {
        int pid = rank < group->made_count ? job->pids[rank] : -group->error;
        pids[rank] = pid > 0 ? group->pids[rank] : pid;
        if (pid < 0 && rank < group->made_count && is_taken(job, rank)) pids[rank] = PID_TAKEN;
        started += pid > 0;
    }
    int result = started > 0 ? bplib_adopt_ghosts(group, job, -1, call->end_with_caller) : 0;
    bproc_job_close(job);
    return result < 0 ? -1 : call->rank_count;
}

// One launch, with ghosts that have begun. They end here, or are the caller's.
static int launch_once(struct bplib_channel *channel, struct bplib_ghosts *group,
                       const struct call *call, int *pids) {
    int result = take(group);
    int error = errno;
    stop_making(group);
    if (result == 0) {
        result = launch(channel, group, call, pids);
    } else {
        close(call->image);
        errno = error;
    }
    if (group->is_adopted) {
        group->next = *call->adopted;
        *call->adopted = group;
    } else {
        bplib_end_ghosts(group);
    }
    return result;
}

// A caller that ends before has nobody's pids, and leaves nobody behind.
static void confirm_all(struct bplib_ghosts *first) {
    for (struct bplib_ghosts *group = first; group; group = group->next) {
        bplib_confirm_ghosts(group);
    }
    while (first) {
        struct bplib_ghosts *group = first;
        first = group->next;
        bplib_end_ghosts(group);
    }
}

// The same from the beginning.
static int launch_anew(const struct call *call, int *pids) {
    struct bplib_start start;
    int result = bplib_begin(&start);
    struct bplib_ghosts *group = NULL;
    if (result == 0 && start.helper.program >= 0) {
        group = bplib_begin_ghosts(&start.helper, call->rank_count, call->command);
    }
    if (group) result = launch_once(&start.channel, group, call, pids);
    int error = errno;
    if (!group) close(call->image);
    bplib_end(&start);
    errno = error;
    return group ? result : -1;
}

// A rank whose pid was taken on its node: another ghost, with another pid, until one is free.
static int launch_again(const struct call *call, int image, int rank) {
    enum { ATTEMPTS = 8 };
    int pid = PID_TAKEN;
    for (int attempt = 0; attempt < ATTEMPTS && pid == PID_TAKEN; attempt++) {
        struct call single = *call;
        single.image = fcntl(image, F_DUPFD_CLOEXEC, 0);
        if (single.image < 0) return -errno;
        single.rank_count = 1;
        single.first_rank = call->first_rank + (uint32_t)rank;
        single.nodes = &call->nodes[rank];
        if (launch_anew(&single, &pid) < 0) return -errno;
    }
    return pid == PID_TAKEN ? -EEXIST : pid;
}

int bplib_launch_children(struct bplib_start *start, struct bplib_ghosts *ghosts, int image,
                          int rank_count, const int *nodes, const struct bproc_io_t *io, int iolen,
                          bool end_with_caller, const char *command, int *pids) {
    struct bplib_ghosts *adopted = NULL;
    struct call call = {.image = fcntl(image, F_DUPFD_CLOEXEC, 0),
                        .rank_count = rank_count,
                        .nodes = nodes,
                        .io = io,
                        .iolen = iolen,
                        .end_with_caller = end_with_caller,
                        .command = command,
                        .adopted = &adopted};
    int result;
    if (call.image < 0) {
        result = bplib_fail(errno, "the image: %s", bproc_strerror(errno));
        bplib_end_ghosts(ghosts);
    } else {
        result = launch_once(&start->channel, ghosts, &call, pids);
    }
    int error = errno;
    for (int rank = 0; result >= 0 && rank < rank_count; rank++) {
        if (pids[rank] == PID_TAKEN) pids[rank] = launch_again(&call, image, rank);
    }
    confirm_all(adopted);
    close(image);
    errno = error;
    return result;
}
