// move, execmove and rexec: the caller goes on elsewhere, and leaves a stand-in.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int check_children(int flags) {
    siginfo_t information;
    if (flags & BPROC_MOVE_ORPHANS) return 0;
    if (waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0) return 0;
    return bplib_fail(EBUSY, "the caller has children that nobody has waited for");
}

static int check(const struct bproc_io_t *io, int iolen, int flags) {
    if (bplib_check_io(io, iolen) < 0) return -1;
    if (bplib_check_flags(flags & ~BPROC_MOVE_ORPHANS) < 0) return -1;
    if (bplib_check_caller() < 0) return -1;
    return check_children(flags);
}

enum { MOVE_HERE = 1 };

// Gets ready for a move. 0: start->helper is there; MOVE_HERE: nothing is to be done; -1.
static int begin(struct bplib_start *start, int node) {
    if (bplib_begin(start) < 0) return -1;
    if (node != start->node && node != BPROC_NODE_SELF) return start->helper.program < 0 ? -1 : 0;
    bplib_end(start);
    return MOVE_HERE;
}

// Starts the image, of the caller or its program, as the caller's successor. All signals are
// blocked: those that come meanwhile are for the successor. Returns only with -1.
static int become(struct bplib_start *start, struct bplib_ghosts *ghosts, int image, int node,
                  const struct bproc_io_t *io, int iolen, const char *name) {
    // The daemon knows whether it has another number.
    const int process = getpid();
    const struct bplib_numbers numbers = {
        .processes = &process, .are_own = true, .wants_stops = ghosts != NULL};
    struct bp_stand_in *stand_in = bplib_prepare_stand_in(start->helper.directory);
    if (!stand_in) {
        int error = errno;
        close(image);
        errno = error;
        return -1;
    }
    bproc_job_t *job =
        bplib_launch(&start->channel, image, 1, &node, &numbers, io, iolen, name);
    int pid = job ? bproc_job_pids(job)[0] : 0;
    if (pid > 0) bplib_stand_in(stand_in, job, ghosts);
    bplib_drop_stand_in(stand_in);
    if (!job) return -1;
    bproc_job_close(job);
    return bplib_fail(-pid, "node %d: %s", node, bproc_strerror(pid));
}

// A caller that is its parent's or its shell's child here stays that: as the ghost of what it
// becomes. What bproc has started on a node is nobody's child there. NULL: there is none.
static struct bplib_ghosts *begin_ghost(const struct bplib_start *start, const char *name) {
    return bplib_has_place() ? NULL : bplib_begin_own_ghost(&start->helper, name);
}

// BPLIB_RESTORED on the node; otherwise -1. What has begun ends here.
static int go(struct bplib_start *start, int node, const struct bproc_io_t *io, int iolen) {
    char name[16] = "";
    (void)prctl(PR_GET_NAME, name, 0, 0, 0);
    struct bplib_ghosts *ghosts = begin_ghost(start, name);
    sigset_t mask;
    struct bplib_stretch left_out = {0, 0};
    if (ghosts) left_out = bplib_ghosts_stretch(ghosts);
    int image = bplib_image_of_caller(&start->helper, left_out, &mask);
    if (image == BPLIB_RESTORED) {
        if (ghosts) bplib_forget_ghosts(ghosts);
        bplib_forget(start);
        return image;
    }
    if (image >= 0) {
        (void)become(start, ghosts, image, node, io, iolen, name);
        bplib_set_mask(&mask);
    }
    if (ghosts) bplib_end_ghosts(ghosts);
    bplib_end(start);
    return -1;
}

int _bproc_move_io(int node, struct bproc_io_t *io, int iolen, int flags) {
    struct bplib_start start;
    int error = errno;
    if (check(io, iolen, flags) < 0) return -1;
    int ready = begin(&start, node);
    if (ready < 0) return -1;
    if (ready == 0 && go(&start, node, io, iolen) != BPLIB_RESTORED) return -1;
    errno = error;
    return 0;
}

int bproc_move_io(int node, struct bproc_io_t *io, int iolen) {
    return _bproc_move_io(node, io, iolen, 0);
}

int _bproc_move(int node, int flags) { return _bproc_move_io(node, NULL, -1, flags); }

int bproc_move(int node) { return _bproc_move_io(node, NULL, -1, 0); }

// ---- rexec ----

int bplib_execute_here(const char *cmd, char *const argv[], char *const envp[]) {
    if (!bplib_has_place()) {
        (void)execve(cmd, argv, envp);
        return bplib_fail(errno, "%s: %s", cmd, bproc_strerror(errno));
    }
    char **environment = bplib_environment_here(envp);
    if (!environment) return bplib_fail(ENOMEM, "out of memory");
    (void)execve(cmd, argv, environment);
    int error = errno;
    bplib_free_environment(environment);
    errno = error;
    return bplib_fail(errno, "%s: %s", cmd, bproc_strerror(errno));
}

int _bproc_rexec_io(int node, struct bproc_io_t *io, int iolen, int flags, const char *cmd,
                    char *const argv[], char *const envp[]) {
    struct bplib_start start;
    if (!cmd || !argv) return bplib_fail(EFAULT, "no command, or no arguments");
    if (check(io, iolen, flags | BPROC_MOVE_ORPHANS) < 0) return -1;
    int ready = begin(&start, node);
    if (ready < 0) return -1;
    if (ready == 0 && go(&start, node, io, iolen) != BPLIB_RESTORED) return -1;
    return bplib_execute_here(cmd, argv, envp ? envp : environ);
}

int bproc_rexec_io(int node, struct bproc_io_t *io, int iolen, const char *cmd, char *const argv[],
                   char *const envp[]) {
    return _bproc_rexec_io(node, io, iolen, 0, cmd, argv, envp);
}

int _bproc_rexec(int node, int flags, const char *cmd, char *const argv[], char *const envp[]) {
    return _bproc_rexec_io(node, NULL, -1, flags, cmd, argv, envp);
}

int bproc_rexec(int node, const char *cmd, char *const argv[], char *const envp[]) {
    return _bproc_rexec_io(node, NULL, -1, 0, cmd, argv, envp);
}

// ---- execmove ----

int _bproc_execmove_io(int node, struct bproc_io_t *io, int iolen, int flags, const char *cmd,
                       char *const argv[], char *const envp[]) {
    struct bplib_start start;
    if (!cmd || !argv) return bplib_fail(EFAULT, "no command, or no arguments");
    if (bplib_check_io(io, iolen) < 0) return -1;
    if (bplib_check_flags(flags & ~BPROC_MOVE_ORPHANS) < 0) return -1;
    int ready = begin(&start, node);
    if (ready < 0) return -1;
    if (ready == MOVE_HERE) return bplib_execute_here(cmd, argv, envp ? envp : environ);
    int image = bproc_capture(cmd, argv, envp, BPROC_CAPTURE_AT_ENTRY, NULL);
    if (image < 0) {
        bplib_end(&start);
        return -1;
    }
    // The program counts as executed from here on: there is no way back to the caller.
    sigset_t all;
    sigfillset(&all);
    bplib_set_mask(&all);
    struct bplib_ghosts *ghosts = begin_ghost(&start, cmd);
    (void)become(&start, ghosts, image, node, io, iolen, cmd);
    _exit(errno > 0 && errno < 256 ? errno : 255);
}

int bproc_execmove_io(int node, struct bproc_io_t *io, int iolen, const char *cmd,
                      char *const argv[], char *const envp[]) {
    return _bproc_execmove_io(node, io, iolen, 0, cmd, argv, envp);
}

int _bproc_execmove(int node, int flags, const char *cmd, char *const argv[], char *const envp[]) {
    return _bproc_execmove_io(node, NULL, -1, flags, cmd, argv, envp);
}

int bproc_execmove(int node, const char *cmd, char *const argv[], char *const envp[]) {
    return _bproc_execmove_io(node, NULL, -1, 0, cmd, argv, envp);
}
