// What the calls that move a process refuse, and that the caller goes on as if it had not asked.
// refusals cluster: a daemon answers, node 0 and 1 are up, node 2 is down, node 77 does not exist.
// refusals alone:   no daemon answers.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("FAILED line %d: %s (errno %d, %s)\n", __LINE__, #condition, errno,             \
                   bproc_reason());                                                                \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)
#define REFUSES(error, call) CHECK((call) == -1 && errno == (error))

static volatile sig_atomic_t handled;
static void handle(int number) { handled = number; }

static int descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void bad_arguments(void) {
    int nodes[] = {0, 1}, pids[] = {5, 6};
    char *argv[] = {(char *)"true", NULL};
    struct bproc_io_t io[17];
    memset(io, 0, sizeof io);
    strcpy(io[0].d.file.name, "/dev/null");
    REFUSES(EINVAL, bproc_vrfork(0, nodes, pids));
    REFUSES(EINVAL, bproc_vrfork(-1, nodes, pids));
    REFUSES(EFAULT, bproc_vrfork(2, NULL, pids));
    REFUSES(EFAULT, bproc_vrfork(2, nodes, NULL));
    REFUSES(EINVAL, bproc_vrfork_io(2, nodes, pids, io, 17));
    REFUSES(EINVAL, bproc_vrfork_io(2, nodes, pids, io, -2));
    REFUSES(EFAULT, bproc_rfork_io(0, NULL, 1));
    REFUSES(EINVAL, _bproc_rfork(0, 0x100));
    REFUSES(EINVAL, bproc_move_io(0, io, 17));
    REFUSES(EFAULT, bproc_move_io(0, NULL, 1));
    REFUSES(EINVAL, _bproc_move(0, 0x1000));
    io[0].type = BPROC_IO_MEMFILE;
    REFUSES(EPERM, bproc_rfork_io(0, io, 1));
    REFUSES(EPERM, bproc_move_io(0, io, 1));
    REFUSES(EPERM, bproc_rexec_io(0, io, 1, "/bin/true", argv, NULL));
    REFUSES(EPERM, bproc_execmove_io(0, io, 1, "/bin/true", argv, NULL));
    REFUSES(EFAULT, bproc_rexec(0, NULL, argv, NULL));
    REFUSES(EFAULT, bproc_rexec(0, "/bin/true", NULL, NULL));
    REFUSES(EFAULT, bproc_execmove(0, NULL, argv, NULL));
    REFUSES(EFAULT, bproc_execmove(0, "/bin/true", NULL, NULL));
    REFUSES(EBADF, bproc_dump(-1, 0));
    REFUSES(EBADF, bproc_dump(999, 0));
    int reading = open("/dev/null", O_RDONLY);
    REFUSES(EBADF, bproc_dump(reading, 0));
    REFUSES(EINVAL, bproc_dump(1, 8));
    close(reading);
    CHECK(pids[0] == 5 && pids[1] == 6);
}

// A failed call leaves no child, no zombie, and no signal, however the caller takes SIGCHLD.
static void no_traces(int (*call)(void)) {
    sigset_t pending, child, before;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    int count = descriptors();
    CHECK(call() == 0);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGCHLD) == 0);
    CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
    sigprocmask(SIG_SETMASK, &before, NULL);
    handled = 0;
    signal(SIGCHLD, handle);
    CHECK(call() == 0);
    CHECK(handled == 0 && waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_IGN);
    CHECK(call() == 0);
    CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_DFL);
    CHECK(descriptors() == count);
}

static int fork_to_nowhere(void) {
    REFUSES(BE_INVALIDNODE, bproc_rfork(77));
    REFUSES(BE_NODEDOWN, bproc_rfork(2));
    return 0;
}

static int vrfork_to_nowhere(void) {
    int nodes[] = {77, 2, 77}, pids[3] = {0};
    CHECK(bproc_vrfork(3, nodes, pids) == 3);
    CHECK(pids[0] == -BE_INVALIDNODE && pids[1] == -BE_NODEDOWN && pids[2] == -BE_INVALIDNODE);
    return 0;
}

static int move_to_nowhere(void) {
    REFUSES(BE_INVALIDNODE, bproc_move(77));
    REFUSES(BE_NODEDOWN, bproc_move(2));
    char *argv[] = {(char *)"true", NULL};
    REFUSES(BE_INVALIDNODE, bproc_rexec(77, "/bin/true", argv, NULL));
    REFUSES(ENOENT, bproc_execmove(0, "/no/such/program", argv, NULL));
    return 0;
}

static int dump_to_full(void) {
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    REFUSES(ENOSPC, bproc_dump(full, 0));
    close(full);
    return 0;
}

static void *wait_for_end(void *pipe_end) {
    char byte;
    (void)!read(*(int *)pipe_end, &byte, 1);
    return NULL;
}

static int with_a_thread(void) {
    int ends[2], pid = 0, node = 0;
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_end, &ends[0]) == 0);
    REFUSES(EBUSY, bproc_rfork(0));
    REFUSES(EBUSY, bproc_vrfork(1, &node, &pid));
    REFUSES(EBUSY, bproc_move(0));
    REFUSES(EBUSY, bproc_dump(1, 0));
    close(ends[1]);
    CHECK(pthread_join(thread, NULL) == 0);
    close(ends[0]);
    return 0;
}

static int with_shared_memory(void) {
    void *memory =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    REFUSES(EOPNOTSUPP, bproc_rfork(0));
    CHECK(strstr(bproc_reason(), "shared writable memory") != NULL);
    REFUSES(EOPNOTSUPP, bproc_move(0));
    munmap(memory, 4096);
    return 0;
}

static void with_a_child(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        wait_for_end(&ends[0]);
        _exit(9);
    }
    REFUSES(EBUSY, bproc_move(0));
    REFUSES(BE_INVALIDNODE, _bproc_move(77, BPROC_MOVE_ORPHANS));
    close(ends[0]);
    close(ends[1]);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 9 << 8);
}

// The status that a child ends with.
static int status_of(void (*body)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(99);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static char *const nothing[] = {(char *)"sh", (char *)"-c", (char *)"exit 12", NULL};

static void execmove_to_nowhere(void) { (void)bproc_execmove(77, "/bin/sh", nothing, NULL); }
static void execmove_to_node(void) { (void)bproc_execmove(1, "/bin/sh", nothing, NULL); }
static void rexec_on_node(void) { (void)bproc_rexec(1, "/bin/sh", nothing, NULL); }
static void rexec_fails_on_node(void) {
    if (bproc_rexec(1, "/no/such/program", nothing, NULL) == -1 && errno == ENOENT &&
        bproc_currnode() == 1)
        _exit(66);
}
static void execmove_here(void) { (void)bproc_execmove(-1, "/bin/sh", nothing, NULL); }
static void rexec_here(void) { (void)bproc_rexec(-1, "/bin/sh", nothing, NULL); }

static void programs(void) {
    CHECK(status_of(execmove_to_nowhere) == 255 << 8);
    CHECK(status_of(execmove_to_node) == 12 << 8);
    CHECK(status_of(rexec_on_node) == 12 << 8);
    CHECK(status_of(rexec_fails_on_node) == 66 << 8);
}

static void at_home(void) {
    CHECK(bproc_move(-1) == 0 && bproc_move(BPROC_NODE_SELF) == 0 && bproc_currnode() == -1);
    CHECK(status_of(execmove_here) == 12 << 8);
    CHECK(status_of(rexec_here) == 12 << 8);
    pid_t child = bproc_rfork(-1);
    if (child == 0) _exit(13);
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 13 << 8);
    int nodes[] = {-1, -1}, pids[2];
    int rank = bproc_vrfork(2, nodes, pids);
    if (rank < 2) _exit(20 + rank);
    for (int i = 0; i < 2; i++) {
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == (20 + i) << 8);
    }
}

int main(int count, char **list) {
    bad_arguments();
    at_home();
    if (count > 1 && !strcmp(list[1], "alone")) {
        REFUSES(EBUSY, bproc_rfork(0));
        REFUSES(EBUSY, bproc_move(0));
        int node = 0, pid = 0;
        REFUSES(EBUSY, bproc_vrfork(1, &node, &pid));
    } else {
        no_traces(fork_to_nowhere);
        no_traces(vrfork_to_nowhere);
        no_traces(move_to_nowhere);
        no_traces(dump_to_full);
        no_traces(with_a_thread);
        no_traces(with_shared_memory);
        with_a_child();
        programs();
    }
    printf("refusals: %s\n", failures ? "wrong" : "right");
    return failures ? 1 : 0;
}
