// rfork and vrfork: children of the caller on nodes, all from one image of it.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool is_here(const struct bplib_start *start, int node) {
    return node == start->node || node == BPROC_NODE_SELF;
}

// One call of vrfork. Ranks on the caller's own node are plain forks; the others are one launch.
struct fork_call {
    struct bplib_start start;
    int count;
    const int *nodes;
    int *pids;
    const struct bproc_io_t *io;
    int iolen;
    bool end_with_caller;
    int *remote_nodes;
    int remote_count;
};

static int find_remote(struct fork_call *call) {
    call->remote_nodes = malloc((size_t)call->count * sizeof *call->remote_nodes);
    if (!call->remote_nodes) return bplib_fail(ENOMEM, "out of memory: %d ranks", call->count);
    for (int i = 0; i < call->count; i++) {
        if (!is_here(&call->start, call->nodes[i])) {
            call->remote_nodes[call->remote_count++] = call->nodes[i];
        }
    }
    return 0;
}

// The rank of a restored child: the launch counts the remote ones only.
static int own_rank(const struct fork_call *call) {
    uint32_t before = 0;
    for (int i = 0; i < call->count; i++) {
        if (is_here(&call->start, call->nodes[i])) continue;
        if (before++ == bplib_place.rank) return i;
    }
    return 0;
}

// Puts the pids of the remote ranks in their places.
static void note_remote(const struct fork_call *call, const int *pids) {
    for (int i = 0; i < call->count; i++) {
        if (!is_here(&call->start, call->nodes[i])) call->pids[i] = *pids++;
    }
}

// Has the ranks started whose ghosts have begun. 0 or -1.
static int launch_remote(struct fork_call *call, struct bplib_ghosts *ghosts, int image,
                         const char *name) {
    int *pids = malloc((size_t)call->remote_count * sizeof *pids);
    if (!pids) {
        bplib_end_ghosts(ghosts);
        close(image);
        return bplib_fail(ENOMEM, "out of memory: %d ranks", call->remote_count);
    }
    int result =
        bplib_launch_children(&call->start, ghosts, image, call->remote_count, call->remote_nodes,
                              call->io, call->iolen, call->end_with_caller, name, pids);
    int error = errno;
    if (result >= 0) note_remote(call, pids);
    free(pids);
    errno = error;
    return result < 0 ? -1 : 0;
}

// 0 in the caller, -1, or BPLIB_RESTORED in a child. The ghosts' helper starts while the image is
// taken, which lasts as long.
static int fork_remote(struct fork_call *call) {
    char name[16] = "";
    (void)prctl(PR_GET_NAME, name, 0, 0, 0);
    struct bplib_ghosts *ghosts = bplib_begin_ghosts(&call->start.helper, call->remote_count, name);
    if (!ghosts) return -1;
    sigset_t mask;
    int image =
        bplib_image_of_caller(&call->start.helper, bplib_ghosts_stretch(ghosts), &mask);
    if (image == BPLIB_RESTORED) {
        bplib_forget_ghosts(ghosts);
        return image;
    }
    if (image < 0) {
        bplib_end_ghosts(ghosts);
        return image;
    }
    bplib_set_mask(&mask);
    return launch_remote(call, ghosts, image, name);
}

enum { STATUS_NO_IO = 255 };

// In the child. A caller that has ended already will not be seen to end.
static void end_with(pid_t caller) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != caller) (void)raise(SIGKILL);
}

// The ranks on this node, last of all: what fails before never had a child. The number of children,
// or -1 - rank in the child of that rank.
static int fork_local(const struct fork_call *call) {
    int children = 0;
    pid_t caller = getpid();
    for (int i = 0; i < call->count; i++) {
        if (!is_here(&call->start, call->nodes[i])) continue;
        int descriptors[BPROC_IO_MAX_LEN];
        int count = call->iolen == BPROC_JOB_FORWARD ? 0 : call->iolen;
        if (bplib_open_io(call->io, count, descriptors) < 0) {
            call->pids[i] = -errno;
            continue;
        }
        pid_t pid = fork();
        if (pid == 0) {
            if (call->end_with_caller) end_with(caller);
            if (bplib_place_io(call->io, count, descriptors) < 0) _exit(STATUS_NO_IO);
            return -1 - i;
        }
        call->pids[i] = pid > 0 ? pid : -errno;
        children += pid > 0;
        bplib_close_io(descriptors, count);
    }
    return children;
}

static int run(struct fork_call *call) {
    if (bplib_begin(&call->start) < 0) return -1;
    int error = errno;
    if (find_remote(call) < 0) {
        bplib_end(&call->start);
        return -1;
    }
    int result = 0;
    if (call->remote_count > 0) {
        errno = error;
        result = call->start.helper.program < 0 ? -1 : fork_remote(call);
    }
    error = errno;
    free(call->remote_nodes);
    if (result == BPLIB_RESTORED) bplib_forget(&call->start);
    else bplib_end(&call->start);
    errno = error;
    if (result == BPLIB_RESTORED) return own_rank(call);
    if (result < 0) return -1;
    int local = fork_local(call);
    return local < 0 ? -1 - local : call->count;
}

int _bproc_vrfork_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                     int flags) {
    int error = errno;
    if (nnodes <= 0) return bplib_fail(EINVAL, "%d nodes", nnodes);
    if (!nodes || !pids) return bplib_fail(EFAULT, "no nodes, or no place for the pids");
    if (bplib_check_io(io, iolen) < 0 || bplib_check_start_flags(flags) < 0) return -1;
    if (bplib_check_caller() < 0) return -1;
    struct fork_call call = {.count = nnodes,
                             .nodes = nodes,
                             .pids = pids,
                             .io = io,
                             .iolen = iolen,
                             .end_with_caller = flags & BPROC_END_WITH_CALLER};
    int result = run(&call);
    if (result >= 0) errno = error;
    return result;
}

int bproc_vrfork_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen) {
    return _bproc_vrfork_io(nnodes, nodes, pids, io, iolen, 0);
}

int _bproc_vrfork(int nnodes, int *nodes, int *pids, int flags) {
    return _bproc_vrfork_io(nnodes, nodes, pids, NULL, BPROC_JOB_FORWARD, flags);
}

int bproc_vrfork(int nnodes, int *nodes, int *pids) {
    return _bproc_vrfork_io(nnodes, nodes, pids, NULL, BPROC_JOB_FORWARD, 0);
}

int _bproc_rfork_io(int node, struct bproc_io_t *io, int iolen, int flags) {
    int pid = 0;
    int result = _bproc_vrfork_io(1, &node, &pid, io, iolen, flags);
    if (result <= 0) return result;
    return pid > 0 ? pid : bplib_fail(-pid, "node %d: %s", node, bproc_strerror(pid));
}

int bproc_rfork_io(int node, struct bproc_io_t *io, int iolen) {
    return _bproc_rfork_io(node, io, iolen, 0);
}

int _bproc_rfork(int node, int flags) {
    return _bproc_rfork_io(node, NULL, BPROC_JOB_FORWARD, flags);
}

int bproc_rfork(int node) { return _bproc_rfork_io(node, NULL, BPROC_JOB_FORWARD, 0); }
