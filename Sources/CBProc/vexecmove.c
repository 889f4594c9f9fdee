// vexecmove: a program on nodes, as children of the caller.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

// What an image may name instead of carrying it, and here carries nevertheless.
int bplib_check_flags(int flags) {
    if ((flags & ~BPROC_DUMP_ALL) == 0) return 0;
    return bplib_fail(EINVAL, "unknown flags %#x", (unsigned int)flags & ~BPROC_DUMP_ALL);
}

int bplib_check_start_flags(int flags) {
    return bplib_check_flags(flags & ~BPROC_END_WITH_CALLER);
}

int _bproc_vexecmove_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                        int flags, const char *cmd, char *const argv[], char *const envp[]) {
    if (nnodes <= 0) return bplib_fail(EINVAL, "%d nodes", nnodes);
    if (!nodes || !pids) return bplib_fail(EFAULT, "no nodes, or no place for the pids");
    if (bplib_check_io(io, iolen) < 0 || bplib_check_start_flags(flags) < 0) return -1;
    int image = bproc_capture(cmd, argv, envp, BPROC_CAPTURE_AT_ENTRY, NULL);
    if (image < 0) return -1;
    struct bplib_start start;
    int result = bplib_begin(&start);
    struct bplib_ghosts *ghosts = NULL;
    if (result == 0 && start.helper.program >= 0) {
        ghosts = bplib_begin_ghosts(&start.helper, nnodes, cmd);
    }
    int error = errno;
    if (ghosts) {
        result = bplib_launch_children(&start, ghosts, image, nnodes, nodes, io, iolen,
                                       flags & BPROC_END_WITH_CALLER, cmd, pids);
        error = errno;
    } else {
        result = -1;
        close(image);
    }
    bplib_end(&start);
    errno = error;
    return result;
}

int bproc_vexecmove_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                       const char *cmd, char *const argv[], char *const envp[]) {
    return _bproc_vexecmove_io(nnodes, nodes, pids, io, iolen, 0, cmd, argv, envp);
}

int _bproc_vexecmove(int nnodes, int *nodes, int *pids, int flags, const char *cmd,
                     char *const argv[], char *const envp[]) {
    return _bproc_vexecmove_io(nnodes, nodes, pids, NULL, -1, flags, cmd, argv, envp);
}

int bproc_vexecmove(int nnodes, int *nodes, int *pids, const char *cmd, char *const argv[],
                    char *const envp[]) {
    return _bproc_vexecmove_io(nnodes, nodes, pids, NULL, -1, 0, cmd, argv, envp);
}
