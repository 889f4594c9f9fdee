/* Programs on nodes, by the classic calls. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

#include <fcntl.h>
#include <time.h>

static char shell[] = "/bin/sh";
static char option[] = "-c";
static char write_rank[] = "echo rank $BPROC_RANK";
static char *arguments[] = {shell, option, write_rank, NULL};
static char rank_variable[] = "BPROC_RANK=XXXXXXX";
static char *environment[] = {rank_variable, NULL};

/* All nodes, the one that is down and one that does not exist. */
enum { RANKS = 5 };
static int nodes[RANKS] = {1, 2, 0, 99, 1};

static void check_pids(const int *pids) {
    CHECK(pids[0] > 0 && pids[2] > 0 && pids[4] > 0);
    CHECK(pids[0] != pids[4]);
    CHECK(pids[1] == -BE_NODEDOWN);
    CHECK(pids[3] == -BE_INVALIDNODE);
}

static void check_lines(const char *text) {
    CHECK(strlen(text) == strlen("rank 0000000\n") * 3);
    CHECK(strstr(text, "rank 0000000\n") != NULL);
    CHECK(strstr(text, "rank 0000002\n") != NULL);
    CHECK(strstr(text, "rank 0000004\n") != NULL);
}

/* What every form refuses, whether there is a cluster or not. */
#define CHECK_ARGUMENTS(call)                                                                      \
    do {                                                                                           \
        int pids[RANKS];                                                                           \
        CHECK_FAILS(call(0, nodes, pids), EINVAL);                                                 \
        CHECK_FAILS(call(-3, nodes, pids), EINVAL);                                                \
        CHECK_FAILS(call(1, NULL, pids), EFAULT);                                                  \
        CHECK_FAILS(call(1, nodes, NULL), EFAULT);                                                 \
    } while (0)

#define PLAIN(count, list, pids)                                                                   \
    bproc_vexecmove(count, list, pids, shell, arguments, environment)
#define WITH_FLAGS(count, list, pids)                                                              \
    _bproc_vexecmove(count, list, pids, BPROC_DUMP_ALL, shell, arguments, environment)
#define WITH_IO(count, list, pids)                                                                 \
    bproc_vexecmove_io(count, list, pids, NULL, 0, shell, arguments, environment)
#define WITH_IO_AND_FLAGS(count, list, pids)                                                       \
    _bproc_vexecmove_io(count, list, pids, NULL, 0, BPROC_DUMP_LIBS, shell, arguments, environment)

/* Standard output during a start; the copier of the outputs ends with the last rank. */
static void check_forwarding(int with_flags) {
    int pids[RANKS], ends[2];
    char text[256];
    size_t length = 0;
    ssize_t count;
    fflush(stdout);
    int before = dup(1);
    CHECK(pipe(ends) == 0 && dup2(ends[1], 1) == 1);
    close(ends[1]);
    int started = with_flags ? WITH_FLAGS(RANKS, nodes, pids) : PLAIN(RANKS, nodes, pids);
    CHECK(dup2(before, 1) == 1);
    close(before);
    CHECK(started == RANKS);
    if (started == RANKS) {
        while ((count = read(ends[0], text + length, sizeof text - 1 - length)) > 0) {
            length += (size_t)count;
        }
        text[length] = 0;
        check_pids(pids);
        check_lines(text);
    }
    close(ends[0]);
}

static void vexecmove(void) {
    int pids[RANKS];
    CHECK_ARGUMENTS(PLAIN);
    if (!has_cluster) {
        CHECK_FAILS(PLAIN(1, nodes, pids), EBUSY);
        return;
    }
    CHECK_FAILS(bproc_vexecmove(1, nodes, pids, "/missing", arguments, NULL), ENOENT);
    CHECK_FAILS(bproc_vexecmove(1, nodes, pids, "/etc/passwd", arguments, NULL), EACCES);
    CHECK_FAILS(bproc_vexecmove(1, nodes, pids, NULL, arguments, NULL), EFAULT);
    CHECK_FAILS(bproc_vexecmove(1, nodes, pids, shell, NULL, NULL), EFAULT);
    check_forwarding(0);
}

static void vexecmove_with_flags(void) {
    int pids[RANKS];
    CHECK_ARGUMENTS(WITH_FLAGS);
    CHECK_FAILS(_bproc_vexecmove(1, nodes, pids, 8, shell, arguments, NULL), EINVAL);
    if (has_cluster) check_forwarding(1);
}

/* Each rank appends a line to a file, which has a name on these nodes as it has here. */
static void check_files(int with_flags) {
    char name[] = "/tmp/bproc-calls-XXXXXX";
    int pids[RANKS];
    char text[256] = "";
    int file = mkstemp(name);
    struct bproc_io_t io;
    memset(&io, 0, sizeof io);
    io.fd = 1;
    io.type = BPROC_IO_FILE;
    io.d.file.flags = O_WRONLY | O_APPEND;
    strcpy(io.d.file.name, name);
    int started =
        with_flags
            ? _bproc_vexecmove_io(RANKS, nodes, pids, &io, 1, 7, shell, arguments, environment)
            : bproc_vexecmove_io(RANKS, nodes, pids, &io, 1, shell, arguments, environment);
    CHECK(started == RANKS);
    if (started == RANKS) check_pids(pids);
    /* The ranks are nobody's children here: only the file tells. Six seconds, and then it fails. */
    for (int i = 0; i < 600 && strlen(text) < strlen("rank 0000000\n") * 3; i++) {
        struct timespec pause = {0, 10000000};
        nanosleep(&pause, NULL);
        ssize_t count = pread(file, text, sizeof text - 1, 0);
        text[count > 0 ? count : 0] = 0;
    }
    check_lines(text);
    unlink(name);
    close(file);
}

static void check_io(void) {
    int pids[RANKS];
    struct bproc_io_t io[17];
    memset(io, 0, sizeof io);
    for (int i = 0; i < 17; i++) {
        io[i].fd = i;
        strcpy(io[i].d.file.name, "/dev/null");
    }
#define WITH(list, length) bproc_vexecmove_io(1, nodes, pids, list, length, shell, arguments, NULL)
    CHECK_FAILS(WITH(io, 17), EINVAL);
    CHECK_FAILS(WITH(io, -2), EINVAL);
    CHECK_FAILS(WITH(NULL, 1), EFAULT);
    io[1].type = BPROC_IO_MEMFILE;
    CHECK_FAILS(WITH(io, 2), EPERM);
    io[1].type = 7;
    CHECK_FAILS(WITH(io, 2), EINVAL);
    io[1].type = BPROC_IO_FILE;
    io[1].flags = 64;
    CHECK_FAILS(WITH(io, 2), EINVAL);
    io[1].flags = 0;
    io[1].fd = -1;
    CHECK_FAILS(WITH(io, 2), EINVAL);
    io[1].fd = 1;
    memset(io[1].d.file.name, 'x', sizeof io[1].d.file.name);
    CHECK_FAILS(WITH(io, 2), EINVAL);
    if (!has_cluster) {
        CHECK_FAILS(WITH(io, 1), EBUSY);
        return;
    }
    /* A file that the node cannot open is that rank's failure. */
    strcpy(io[0].d.file.name, "/missing/file");
    CHECK(WITH(io, 1) == 1);
    CHECK(pids[0] == -ENOENT);
#undef WITH
}

static void vexecmove_io(void) {
    CHECK_ARGUMENTS(WITH_IO);
    check_io();
    if (has_cluster) check_files(0);
}

static void vexecmove_io_with_flags(void) {
    int pids[RANKS];
    CHECK_ARGUMENTS(WITH_IO_AND_FLAGS);
    CHECK_FAILS(_bproc_vexecmove_io(1, nodes, pids, NULL, 0, -1, shell, arguments, NULL), EINVAL);
    CHECK_FAILS(_bproc_vexecmove_io(1, nodes, pids, NULL, 17, 0, shell, arguments, NULL), EINVAL);
    if (has_cluster) check_files(1);
}

const struct test_case program_cases[] = {
    {"bproc_vexecmove", vexecmove},
    {"bproc_vexecmove_io", vexecmove_io},
    {"_bproc_vexecmove", vexecmove_with_flags},
    {"_bproc_vexecmove_io", vexecmove_io_with_flags},
    {NULL, NULL},
};
