/* The running process: its children on nodes, its own way there, its image in a file. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static char shell[] = "/bin/sh";
static char option[] = "-c";
static char exit_six[] = "exit 6";
static char *arguments[] = {shell, option, exit_six, NULL};

/* A file that the nodes, which are this machine, open by the same name. */
struct paper {
    char name[32];
    int file;
    struct bproc_io_t io;
};

static void make_paper(struct paper *paper) {
    memset(paper, 0, sizeof *paper);
    strcpy(paper->name, "/tmp/bproc-calls-XXXXXX");
    paper->file = mkstemp(paper->name);
    CHECK(paper->file >= 0);
    paper->io.fd = 1;
    paper->io.type = BPROC_IO_FILE;
    paper->io.d.file.flags = O_WRONLY | O_APPEND;
    strcpy(paper->io.d.file.name, paper->name);
}

/* Waits until the file has the line, for ten seconds. */
static void check_line(const struct paper *paper, const char *line) {
    char text[512] = "";
    for (int i = 0; i < 1000 && !strstr(text, line); i++) {
        ssize_t count = pread(paper->file, text, sizeof text - 1, 0);
        struct timespec pause = {0, 10000000};
        text[count > 0 ? count : 0] = 0;
        nanosleep(&pause, NULL);
    }
    if (!strstr(text, line)) report(line, __FILE__, __LINE__);
}

static void remove_paper(struct paper *paper) {
    close(paper->file);
    unlink(paper->name);
}

/* What a child writes from where it is; then it ends. */
static void tell_and_end(int rank, int status) {
    char line[64];
    int length = snprintf(line, sizeof line, "rank %d on %d\n", rank, bproc_currnode());
    _exit(write(1, line, (size_t)length) == length ? status : 99);
}

static int status_of(pid_t child) {
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

/* No call that failed has left a child. */
static void check_childless(void) {
    int status;
    CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
}

/* What every form refuses before it does anything; call takes io, its length and flags. */
#define CHECK_REFUSALS(call)                                                                       \
    do {                                                                                           \
        struct bproc_io_t io[17];                                                                  \
        memset(io, 0, sizeof io);                                                                  \
        CHECK_FAILS(call(io, 17, 0), EINVAL);                                                      \
        CHECK_FAILS(call(io, -2, 0), EINVAL);                                                      \
        CHECK_FAILS(call(NULL, 1, 0), EFAULT);                                                     \
        io[0].type = BPROC_IO_MEMFILE;                                                             \
        CHECK_FAILS(call(io, 1, 0), EPERM);                                                        \
        CHECK_FAILS(call(NULL, 0, 0x10000), EINVAL);                                               \
    } while (0)

/* ---- Children ---- */

static void check_rfork(int result, const struct paper *paper) {
    if (result == 0) tell_and_end(7, 0);
    CHECK(result > 0);
    check_line(paper, "rank 7 on 1\n");
}

static void rfork_with_io(void) {
    struct paper paper;
#define RFORK(io, iolen, flags) _bproc_rfork_io(0, io, iolen, flags)
    CHECK_REFUSALS(RFORK);
#undef RFORK
    if (!has_cluster) return;
    make_paper(&paper);
    check_rfork(bproc_rfork_io(1, &paper.io, 1), &paper);
    remove_paper(&paper);
    make_paper(&paper);
    check_rfork(_bproc_rfork_io(1, &paper.io, 1, BPROC_DUMP_ALL), &paper);
    remove_paper(&paper);
}

/* Runs a form without io, whose children write to our standard output. */
static void check_forwarded(int (*call)(int, int)) {
    int ends[2];
    char line[64] = "";
    fflush(stdout);
    int before = dup(1);
    CHECK(pipe(ends) == 0 && dup2(ends[1], 1) == 1);
    close(ends[1]);
    int result = call(1, 0);
    if (result == 0) tell_and_end(7, 0);
    CHECK(dup2(before, 1) == 1);
    close(before);
    CHECK(result > 0);
    if (result > 0) {
        CHECK(read(ends[0], line, sizeof line - 1) > 0);
        CHECK(strcmp(line, "rank 7 on 1\n") == 0);
    }
    close(ends[0]);
}

static int rfork_to(int node, int flags) {
    (void)flags;
    return bproc_rfork(node);
}

static void rfork_plain(void) {
    /* The child on the front end is an ordinary one, daemon or not. */
    pid_t child = bproc_rfork(BPROC_NODE_MASTER);
    if (child == 0) _exit(7);
    CHECK(child > 0 && status_of(child) == 7 << 8);
    if (!has_cluster) {
        CHECK_FAILS(bproc_rfork(0), EBUSY);
    } else {
        CHECK_FAILS(bproc_rfork(2), BE_NODEDOWN);
        CHECK_FAILS(bproc_rfork(99), BE_INVALIDNODE);
        CHECK_FAILS(_bproc_rfork(99, 0), BE_INVALIDNODE);
    }
    check_childless();
    if (!has_cluster) return;
    check_forwarded(rfork_to);
    check_forwarded(_bproc_rfork);
}

enum { RANKS = 5 };
static int nodes[RANKS] = {1, 2, BPROC_NODE_MASTER, 99, 0};

/* In each child the rank is answered; the child on the front end writes to our own output. */
static void check_vrfork(int result, const int *pids, const struct paper *paper) {
    if (result == 2) _exit(bproc_currnode() == BPROC_NODE_MASTER ? 3 : 4);
    if (result >= 0 && result < RANKS) tell_and_end(result, 0);
    CHECK(result == RANKS);
    if (result != RANKS) return;
    CHECK(pids[0] > 0 && pids[4] > 0 && pids[0] != pids[4]);
    CHECK(pids[1] == -BE_NODEDOWN && pids[3] == -BE_INVALIDNODE);
    CHECK(status_of(pids[2]) == 3 << 8);
    CHECK(status_of(pids[4]) == 0);
    CHECK(status_of(pids[0]) == 0);
    check_childless();
    check_line(paper, "rank 0 on 1\n");
    check_line(paper, "rank 4 on 0\n");
}

static void vrfork_with_io(void) {
    struct paper paper;
    int pids[RANKS];
#define VRFORK(io, iolen, flags) _bproc_vrfork_io(RANKS, nodes, pids, io, iolen, flags)
    CHECK_REFUSALS(VRFORK);
#undef VRFORK
    CHECK_FAILS(bproc_vrfork_io(0, nodes, pids, NULL, 0), EINVAL);
    CHECK_FAILS(bproc_vrfork_io(-7, nodes, pids, NULL, 0), EINVAL);
    CHECK_FAILS(bproc_vrfork_io(1, NULL, pids, NULL, 0), EFAULT);
    CHECK_FAILS(bproc_vrfork_io(1, nodes, NULL, NULL, 0), EFAULT);
    check_childless();
    if (!has_cluster) return;
    make_paper(&paper);
    check_vrfork(bproc_vrfork_io(RANKS, nodes, pids, &paper.io, 1), pids, &paper);
    remove_paper(&paper);
    make_paper(&paper);
    check_vrfork(_bproc_vrfork_io(RANKS, nodes, pids, &paper.io, 1, 1), pids, &paper);
    remove_paper(&paper);
}

static int vrfork_to(int node, int flags) {
    int list[1], pids[1];
    list[0] = node;
    int result = flags ? _bproc_vrfork(1, list, pids, flags) : bproc_vrfork(1, list, pids);
    return result == 1 ? pids[0] : result;
}

static void vrfork_plain(void) {
    int pids[RANKS];
    CHECK_FAILS(bproc_vrfork(0, nodes, pids), EINVAL);
    CHECK_FAILS(_bproc_vrfork(1, nodes, NULL, 0), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_vrfork(RANKS, nodes, pids), EBUSY);
        check_childless();
        return;
    }
    check_forwarded(vrfork_to);
}

/* ---- The process itself ---- */

/* A child of ours moves; what is left here ends as it does there. */
static void check_move(int (*call)(struct bproc_io_t *), int expected_status) {
    struct paper paper;
    make_paper(&paper);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (call(&paper.io) != 0) _exit(98);
        tell_and_end(0, 5);
    }
    CHECK(status_of(child) == expected_status);
    check_line(&paper, "rank 0 on 1\n");
    remove_paper(&paper);
}

static int move_there(struct bproc_io_t *io) { return bproc_move_io(1, io, 1); }
static int move_with_flags(struct bproc_io_t *io) { return _bproc_move_io(1, io, 1, 0); }

static void move_with_io(void) {
#define MOVE(io, iolen, flags) _bproc_move_io(0, io, iolen, flags)
    CHECK_REFUSALS(MOVE);
#undef MOVE
    CHECK_FAILS(bproc_move_io(0, NULL, 17), EINVAL);
    if (!has_cluster) return;
    check_move(move_there, 5 << 8);
    check_move(move_with_flags, 5 << 8);
}

static int move_and_say(int node, int flags) {
    int result = flags ? _bproc_move(node, flags) : bproc_move(node);
    if (result != 0) _exit(98);
    tell_and_end(7, 5);
    return -1;
}

static void move_plain(void) {
    CHECK(bproc_move(BPROC_NODE_MASTER) == 0);
    CHECK(_bproc_move(BPROC_NODE_MASTER, BPROC_DUMP_ALL) == 0);
    if (!has_cluster) {
        CHECK_FAILS(bproc_move(0), EBUSY);
        CHECK_FAILS(_bproc_move(0, 0), EBUSY);
        return;
    }
    CHECK(bproc_move(BPROC_NODE_SELF) == 0);
    CHECK_FAILS(bproc_move(2), BE_NODEDOWN);
    CHECK_FAILS(bproc_move(99), BE_INVALIDNODE);
    CHECK(bproc_currnode() == BPROC_NODE_MASTER);
    /* A child that nobody has waited for. */
    pid_t child = fork();
    if (child == 0) _exit(0);
    CHECK_FAILS(bproc_move(1), EBUSY);
    CHECK(status_of(child) == 0);
    for (int flags = 0; flags < 2; flags++) {
        int ends[2];
        char line[64] = "";
        CHECK(pipe(ends) == 0);
        fflush(stdout);
        child = fork();
        if (child == 0) {
            dup2(ends[1], 1);
            close(ends[0]);
            close(ends[1]);
            move_and_say(1, flags);
        }
        close(ends[1]);
        CHECK(read(ends[0], line, sizeof line - 1) > 0);
        CHECK(strcmp(line, "rank 7 on 1\n") == 0);
        CHECK(status_of(child) == 5 << 8);
        close(ends[0]);
    }
}

/* ---- Programs in the place of the process ---- */

/* The status of a child of ours that makes a call which does not return. */
#define STATUS_OF_CALL(call) (fflush(stdout), status_of(fork_for(call_##call)))

static pid_t fork_for(void (*call)(void)) {
    pid_t child = fork();
    if (child == 0) {
        call();
        /* It has returned after all. */
        _exit(97);
    }
    return child;
}

static void call_execmove(void) { (void)bproc_execmove(1, shell, arguments, NULL); }
static void call_execmove_io(void) { (void)bproc_execmove_io(1, NULL, 0, shell, arguments, NULL); }
static void call_execmove_flags(void) { (void)_bproc_execmove(1, 0, shell, arguments, NULL); }
static void call_execmove_io_flags(void) {
    (void)_bproc_execmove_io(1, NULL, 0, BPROC_DUMP_ALL, shell, arguments, NULL);
}
static void call_execmove_home(void) {
    (void)bproc_execmove(BPROC_NODE_MASTER, shell, arguments, NULL);
}
static void call_execmove_down(void) { (void)bproc_execmove(2, shell, arguments, NULL); }

static void execmove(void) {
    CHECK_FAILS(bproc_execmove(0, NULL, arguments, NULL), EFAULT);
    CHECK_FAILS(_bproc_execmove(0, 0, shell, NULL, NULL), EFAULT);
#define EXECMOVE(io, iolen, flags) _bproc_execmove_io(0, io, iolen, flags, shell, arguments, NULL)
    CHECK_REFUSALS(EXECMOVE);
#undef EXECMOVE
    CHECK(STATUS_OF_CALL(execmove_home) == 6 << 8);
    if (!has_cluster) {
        CHECK_FAILS(bproc_execmove(0, shell, arguments, NULL), EBUSY);
        return;
    }
    CHECK_FAILS(bproc_execmove(0, "/missing", arguments, NULL), ENOENT);
    check_childless();
    CHECK(STATUS_OF_CALL(execmove) == 6 << 8);
    CHECK(STATUS_OF_CALL(execmove_io) == 6 << 8);
    CHECK(STATUS_OF_CALL(execmove_flags) == 6 << 8);
    CHECK(STATUS_OF_CALL(execmove_io_flags) == 6 << 8);
    /* Too late to return: the number of the error, cut to what a status holds. */
    CHECK(STATUS_OF_CALL(execmove_down) == 255 << 8);
}

static void call_rexec(void) { (void)bproc_rexec(1, shell, arguments, NULL); }
static void call_rexec_io(void) { (void)bproc_rexec_io(1, NULL, 0, shell, arguments, NULL); }
static void call_rexec_flags(void) { (void)_bproc_rexec(1, 0, shell, arguments, NULL); }
static void call_rexec_io_flags(void) {
    (void)_bproc_rexec_io(1, NULL, 0, BPROC_DUMP_ALL, shell, arguments, NULL);
}
static void call_rexec_missing(void) {
    /* The move is done by then. */
    if (bproc_rexec(1, "/missing", arguments, NULL) == -1 && errno == ENOENT) {
        _exit(bproc_currnode() == 1 ? 8 : 9);
    }
}

/* The caller is on the front end: an exec like any other. From a node it is tried there. */
static void call_execve_here(void) { (void)bproc_execve(shell, arguments, NULL); }
/* On a node it goes through the front end, if processes can be there. */
static void call_execve_there(void) {
    if (bproc_move(1) < 0) _exit(90);
    if (bproc_execve("/missing", arguments, NULL) != -1) _exit(91);
    if (errno == BE_NODEDOWN) _exit(6);
    if (errno != ENOENT) _exit(92);
    (void)bproc_execve(shell, arguments, NULL);
}

static void execve_through(void) {
    CHECK_FAILS(bproc_execve(NULL, arguments, NULL), EFAULT);
    CHECK_FAILS(bproc_execve(shell, NULL, NULL), EFAULT);
    CHECK_FAILS(bproc_execve("/missing", arguments, NULL), ENOENT);
    CHECK(STATUS_OF_CALL(execve_here) == 6 << 8);
    if (has_cluster) CHECK(STATUS_OF_CALL(execve_there) == 6 << 8);
}

static void rexec(void) {
    CHECK_FAILS(bproc_rexec(0, NULL, arguments, NULL), EFAULT);
    CHECK_FAILS(_bproc_rexec(0, 0, shell, NULL, NULL), EFAULT);
#define REXEC(io, iolen, flags) _bproc_rexec_io(0, io, iolen, flags, shell, arguments, NULL)
    CHECK_REFUSALS(REXEC);
#undef REXEC
    if (!has_cluster) {
        CHECK_FAILS(bproc_rexec(0, shell, arguments, NULL), EBUSY);
        return;
    }
    CHECK_FAILS(bproc_rexec(2, shell, arguments, NULL), BE_NODEDOWN);
    check_childless();
    CHECK(STATUS_OF_CALL(rexec) == 6 << 8);
    CHECK(STATUS_OF_CALL(rexec_io) == 6 << 8);
    CHECK(STATUS_OF_CALL(rexec_flags) == 6 << 8);
    CHECK(STATUS_OF_CALL(rexec_io_flags) == 6 << 8);
    CHECK(STATUS_OF_CALL(rexec_missing) == 8 << 8);
}

/* ---- Images in files ---- */

static void dump(void) {
    struct paper paper;
    CHECK_FAILS(bproc_dump(-1, 0), EBADF);
    CHECK_FAILS(bproc_dump(1, 0x10000), EINVAL);
    if (!has_cluster) return;
    make_paper(&paper);
    long byte_count = bproc_dump(paper.file, BPROC_DUMP_ALL);
    CHECK(byte_count > 4096 && lseek(paper.file, 0, SEEK_END) == (off_t)byte_count);
    char magic[4] = "";
    CHECK(pread(paper.file, magic, 4, 0) == 4 && memcmp(magic, "\177ELF", 4) == 0);
    int reading = open(paper.name, O_RDONLY);
    CHECK_FAILS(bproc_dump(reading, 0), EBADF);
    close(reading);
    check_childless();
    remove_paper(&paper);
}

const struct test_case move_cases[] = {
    {"bproc_rfork", rfork_plain},
    {"_bproc_rfork", rfork_plain},
    {"bproc_rfork_io", rfork_with_io},
    {"_bproc_rfork_io", rfork_with_io},
    {"bproc_vrfork", vrfork_plain},
    {"_bproc_vrfork", vrfork_plain},
    {"bproc_vrfork_io", vrfork_with_io},
    {"_bproc_vrfork_io", vrfork_with_io},
    {"bproc_move", move_plain},
    {"_bproc_move", move_plain},
    {"bproc_move_io", move_with_io},
    {"_bproc_move_io", move_with_io},
    {"bproc_execmove", execmove},
    {"bproc_execmove_io", execmove},
    {"_bproc_execmove", execmove},
    {"_bproc_execmove_io", execmove},
    {"bproc_rexec", rexec},
    {"bproc_rexec_io", rexec},
    {"_bproc_rexec", rexec},
    {"_bproc_rexec_io", rexec},
    {"bproc_execve", execve_through},
    {"bproc_dump", dump},
    {NULL, NULL},
};
