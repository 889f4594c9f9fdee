// Pids that are the same on the front end and on nodes: pids CASE FOLDER; the ranks are this
// program again: pids rank ...
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char self[256], folder[256];

// ---- Ranks ----

// A grandchild whose parent ends before it does: nobody of the job would wait for it.
static int leave_orphan(void) {
    int ends[2];
    pid_t grandchild = 0;
    if (pipe(ends) < 0) return 1;
    pid_t child = fork();
    if (child == 0) {
        pid_t own = fork();
        if (own == 0) {
            // Ends when its parent has gone to the kernel's adopter.
            while (getppid() != 1) pause_briefly();
            _exit(0);
        }
        _exit(write(ends[1], &own, sizeof own) == sizeof own ? 0 : 1);
    }
    if (waitpid(child, NULL, 0) != child) return 2;
    if (read(ends[0], &grandchild, sizeof grandchild) != sizeof grandchild) return 3;
    for (int tries = 0; tries < 10000 && kill(grandchild, 0) == 0; tries++) pause_briefly();
    return kill(grandchild, 0) == -1 && errno == ESRCH ? 0 : 4;
}

// Children with these very pids.
static _Noreturn void hold(const char *file, int first, int count) {
    for (int pid = first; pid < first + count; pid++) {
        const pid_t wanted = pid;
        struct clone_args arguments = {.exit_signal = SIGCHLD,
                                       .set_tid = (uint64_t)&wanted,
                                       .set_tid_size = 1};
        if (syscall(SYS_clone3, &arguments, sizeof arguments) != 0) continue;
        for (;;) pause();
    }
    write_number(file, first);
    for (;;) pause();
}

static int rank(int argc, char *const argv[]) {
    const char *what = argv[2];
    char path[300];
    if (strcmp(what, "tell") == 0) {
        snprintf(path, sizeof path, "%s%s", argv[3], getenv("BPROC_RANK"));
        write_number(path, getpid());
        return 0;
    }
    if (strcmp(what, "stay") == 0) {
        for (;;) pause();
    }
    if (strcmp(what, "kill") == 0) return kill(atoi(argv[3]), SIGUSR2) == 0 ? 0 : 1;
    if (strcmp(what, "orphan") == 0) return leave_orphan();
    if (argc > 5) hold(argv[3], atoi(argv[4]), atoi(argv[5]));
    return 99;
}

// ---- The caller ----

static int start_ranks(int count, int *nodes, int *pids, char *const words[]) {
    char *argv[8] = {self, (char *)"rank"};
    for (int i = 0; i < 5 && words[i]; i++) argv[2 + i] = words[i];
    (void)setenv("BPROC_RANK", "XXXXXXX", 1);
    return bproc_vexecmove_io(count, nodes, pids, NULL, 0, self, argv, environ);
}

static int start(int node, char *const words[]) {
    int pid = 0;
    if (start_ranks(1, &node, &pid, words) == 1 && pid > 0) return pid;
    printf("FAILED: start on %d: %d, %s\n", node, pid, bproc_reason());
    exit(1);
}

static int number_in(const char *path) {
    char text[32] = "";
    int file = open(path, O_RDONLY);
    if (file < 0) return -1;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    return count > 0 ? atoi(text) : -1;
}

static void same(void) {
    int nodes[16], pids[16];
    char path[300], rank_path[320];
    for (int i = 0; i < 16; i++) nodes[i] = i % 4;
    snprintf(path, sizeof path, "%s/same", folder);
    CHECK(start_ranks(16, nodes, pids, (char *[]){(char *)"tell", path, NULL}) == 16);
    for (int i = 0; i < 16; i++) {
        CHECK(pids[i] > 0 && status_of(pids[i]) == 0);
        snprintf(rank_path, sizeof rank_path, "%s%07d", path, i);
        CHECK(number_in(rank_path) == pids[i]);
    }
    char value[64];
    CHECK(bproc_getnodeattr(0, "pids", value, sizeof value) == 9);
    CHECK(memcmp(value, "front-end", 9) == 0);
    CHECK(bproc_setnodeattr(0, "pids", "own", 3) == -1 && errno == EPERM);
}

static void signals(void) {
    char number[16];
    int staying = start(1, (char *[]){(char *)"stay", NULL});
    snprintf(number, sizeof number, "%d", staying);
    CHECK(status_of(start(1, (char *[]){(char *)"kill", number, NULL})) == 0);
    CHECK(status_of(staying) == SIGUSR2);
    // Another node has its own processes of that number.
    CHECK(status_of(start(0, (char *[]){(char *)"kill", number, NULL})) == 1 << 8);
}

static void orphans(void) {
    CHECK(status_of(start(2, (char *[]){(char *)"orphan", NULL})) == 0);
}

// Has a rank of node 3 hold the pids that come next here, as many as told. On this machine its
// processes have pids as well, which come first.
static int hold_next(int count, int attempt) {
    char path[300], first[16], number[16];
    pid_t here;
    // Where the numbers end before that they begin anew.
    do {
        here = fork();
        if (here == 0) _exit(0);
        CHECK(here > 0 && status_of(here) == 0);
    } while (here + 3 * count + 100 > number_in("/proc/sys/kernel/pid_max"));
    snprintf(path, sizeof path, "%s/held-%d-%d", folder, count, attempt);
    snprintf(first, sizeof first, "%d", here + count + 5);
    snprintf(number, sizeof number, "%d", count);
    int holder = start(3, (char *[]){(char *)"hold", path, first, number, NULL});
    while (number_in(path) < 0 && waitpid(holder, NULL, WNOHANG) == 0) pause_briefly();
    return holder;
}

// Its pid is taken there: it has another, here and there.
static void taken(void) {
    for (int attempt = 0; attempt < 4; attempt++) {
        int holder = hold_next(40, attempt);
        int nodes[] = {3, 0, 3}, pids[3];
        char path[300], rank_path[320];
        snprintf(path, sizeof path, "%s/taken-%d-", folder, attempt);
        CHECK(start_ranks(3, nodes, pids, (char *[]){(char *)"tell", path, NULL}) == 3);
        for (int i = 0; i < 3; i++) {
            CHECK(pids[i] > 0 && status_of(pids[i]) == 0);
            snprintf(rank_path, sizeof rank_path, "%s%07d", path, i);
            CHECK(number_in(rank_path) == pids[i]);
        }
        CHECK(kill(holder, SIGKILL) == 0 && status_of(holder) == SIGKILL);
    }
}

// Forks whose pids are taken there: they have others, here and there.
static void forked(void) {
    for (int attempt = 0; attempt < 4; attempt++) {
        int holder = hold_next(40, 10 + attempt), nodes[] = {3, 0, 3}, pids[3];
        char path[300];
        snprintf(path, sizeof path, "%s/forked-%d", folder, attempt);
        int pid = bproc_rfork(3);
        if (pid == 0) {
            write_number(path, getpid());
            _exit(0);
        }
        CHECK(pid > 0 && status_of(pid) == 0 && number_in(path) == pid);
        int rank = bproc_vrfork(3, nodes, pids);
        if (rank < 3) {
            snprintf(path, sizeof path, "%s/forked-%d-%d", folder, attempt, rank);
            write_number(path, getpid());
            _exit(0);
        }
        CHECK(rank == 3);
        for (int i = 0; i < 3; i++) {
            snprintf(path, sizeof path, "%s/forked-%d-%d", folder, attempt, i);
            CHECK(pids[i] > 0 && status_of(pids[i]) == 0 && number_in(path) == pids[i]);
        }
        CHECK(kill(holder, SIGKILL) == 0 && status_of(holder) == SIGKILL);
    }
}

// A process that moves has only the one: where that is taken it has another, and its slave says so.
static void moved(void) {
    char path[300], number[16];
    int own = getpid();
    snprintf(path, sizeof path, "%s/held", folder);
    snprintf(number, sizeof number, "%d", own);
    int holder = start(0, (char *[]){(char *)"hold", path, number, (char *)"1", NULL});
    while (number_in(path) < 0 && waitpid(holder, NULL, WNOHANG) == 0) pause_briefly();
    CHECK(_bproc_move(1, BPROC_MOVE_ORPHANS) == 0 && getpid() == own);
    CHECK(bproc_move(0) == 0 && getpid() != own);
    CHECK(bproc_move(1) == 0 && getpid() == own);
    // It has outlived the parent that it had.
    CHECK(bproc_kill(holder, SIGKILL) == 0);
    snprintf(path, sizeof path, "%s/moved", folder);
    write_number(path, failures);
}

// All that it could have are taken: it does not run.
static void exhausted(void) {
    int holder = hold_next(1000, 0), nodes[] = {3, 0}, pids[2];
    CHECK(start_ranks(2, nodes, pids, (char *[]){(char *)"stay", NULL}) == 2);
    CHECK(pids[0] == -EEXIST && pids[1] > 0);
    CHECK(kill(pids[1], SIGKILL) == 0 && status_of(pids[1]) == SIGKILL);
    CHECK(kill(holder, SIGKILL) == 0 && status_of(holder) == SIGKILL);
    CHECK(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
}

// One pid on five nodes, and where it has been before; it ends on the last.
static void journey(void) {
    int own = getpid();
    char path[300];
    static const int nodes[] = {0, 1, 2, 3, 1, 4};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        CHECK(bproc_move(nodes[i]) == 0 && bproc_currnode() == nodes[i]);
        CHECK(getpid() == own);
    }
    snprintf(path, sizeof path, "%s/journey", folder);
    write_number(path, failures);
}

// Over five nodes and home, telling its pid wherever it is; then it stays on one of them.
static void roam(void) {
    static const int nodes[] = {0, 1, 2, 3, 4, BPROC_NODE_MASTER, 2};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        CHECK(bproc_move(nodes[i]) == 0 && bproc_currnode() == nodes[i]);
        printf("%d\n", getpid());
    }
    for (;;) pause();
}

// On a slave that is not root: other pids, and it says so.
static void rootless(void) {
    int node = 0, pid = 0;
    char path[300], rank_path[320], value[64];
    snprintf(path, sizeof path, "%s/rootless", folder);
    CHECK(bproc_getnodeattr(0, "pids", value, sizeof value) == 3 && memcmp(value, "own", 3) == 0);
    CHECK(start_ranks(1, &node, &pid, (char *[]){(char *)"tell", path, NULL}) == 1);
    CHECK(pid > 0 && status_of(pid) == 0);
    snprintf(rank_path, sizeof rank_path, "%s%07d", path, 0);
    CHECK(number_in(rank_path) > 0 && number_in(rank_path) != pid);
}

int main(int argc, char *argv[]) {
    static const struct test_case cases[] = {
        {"same", same},       {"signals", signals}, {"orphans", orphans},   {"taken", taken},
        {"forked", forked},   {"moved", moved},     {"exhausted", exhausted},
        {"journey", journey}, {"rootless", rootless}, {"roam", roam},
    };
    if (argc > 2 && strcmp(argv[1], "rank") == 0) return rank(argc, argv);
    if (argc < 3) return 2;
    snprintf(self, sizeof self, "%s", argv[0]);
    snprintf(folder, sizeof folder, "%s", argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    return run_case(cases, sizeof cases / sizeof *cases, argv[1]);
}
