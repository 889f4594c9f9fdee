// Processes that come home from nodes, each into its own ghost: home CASE FOLDER. Nodes 0 and 1 and
// the front end's slave are there.
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[256];

// Home, and there again; each time it is the process that it was. Answers 0, or what went wrong.
static int travel(int count) {
    int own = getpid(), parent = getppid(), group = getpgrp(), session = getsid(0);
    for (int i = 0; i < count; i++) {
        if (bproc_move(i % 2) != 0) return 10;
        if (bproc_currnode() != i % 2 || getpid() != own) return 11;
        printf("away %d\n", i);
        if (bproc_move(BPROC_NODE_MASTER) != 0) return 12;
        if (bproc_currnode() != BPROC_NODE_MASTER) return 13;
        if (getpid() != own || getppid() != parent) return 14;
        if (getpgrp() != group || getsid(0) != session) return 15;
        printf("home %d\n", i);
    }
    return 0;
}

// ---- This process ----

static void own(void) {
    CHECK(travel(20) == 0);
}

// What it was given here it still has: input, directory, mask of modes, limits.
static void belongings(void) {
    char line[64] = "", place[300] = "";
    struct rlimit limit = {0, 0};
    CHECK(umask(027) >= 0 && chdir(folder) == 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 200;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(bproc_move(0) == 0);
    CHECK(bproc_move(BPROC_NODE_MASTER) == 0);
    CHECK(fgets(line, sizeof line, stdin) && strcmp(line, "a line\n") == 0);
    CHECK(getcwd(place, sizeof place) && strcmp(place, folder) == 0);
    CHECK(umask(022) == 027);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 200);
    // Nobody's descriptors but those three have come along.
    CHECK(fcntl(3, F_GETFD) == -1 && errno == EBADF);
}

// ---- A child of this process ----

// Forked here, or made on a node: its parent waits for it wherever it ends.
static void child(void) {
    for (int is_local = 0; is_local < 2; is_local++) {
        int pid = is_local ? fork() : bproc_rfork(0);
        if (pid == 0) {
            if (is_local && bproc_move(0) != 0) exit(1);
            if (bproc_move(BPROC_NODE_MASTER) != 0) exit(2);
            if (getppid() <= 1) exit(3);
            printf("child\n");
            int result = travel(3);
            exit(result ? result : 42);
        }
        int status = pid > 0 ? status_of(pid) : pid;
        CHECK(status == 42 << 8);
        if (status != 42 << 8) printf("%d: %#x %s\n", is_local, status, bproc_reason());
    }
    CHECK(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
}

// At home it stops, goes on and dies as any child.
static void stops(void) {
    int status, pid = bproc_rfork(1);
    if (pid == 0) {
        if (bproc_move(BPROC_NODE_MASTER) != 0) exit(1);
        raise(SIGSTOP);
        if (bproc_move(0) != 0) exit(2);
        raise(SIGSTOP);
        if (bproc_move(BPROC_NODE_MASTER) != 0) exit(3);
        for (;;) pause();
    }
    for (int i = 0; i < 2; i++) {
        CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        CHECK(kill(pid, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    }
    CHECK(kill(pid, SIGTERM) == 0 && status_of(pid) == SIGTERM);
}

static volatile sig_atomic_t taken;
static void count_signal(int number) {
    (void)number;
    taken++;
}

enum { SIGNALS = 100 };

// None that comes on the way is lost, and none comes twice.
static void signals(void) {
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGRTMIN + 3, &action, NULL);
    int pid = bproc_rfork(0);
    if (pid == 0) {
        for (int i = 0; taken < SIGNALS; i++) {
            if (bproc_move(i % 2 ? i / 2 % 2 : BPROC_NODE_MASTER) != 0) exit(1);
        }
        exit(taken == SIGNALS ? 3 : 4);
    }
    for (int i = 0; i < SIGNALS; i++) {
        CHECK(kill(pid, SIGRTMIN + 3) == 0);
        pause_briefly();
    }
    CHECK(status_of(pid) == 3 << 8);
}

// Its own signal is nothing else to a ghost than any other.
static void mistaken(void) {
    int nodes[] = {0, 1}, pids[2];
    int rank = bproc_vrfork(2, nodes, pids);
    if (rank >= 0 && rank < 2) {
        for (;;) pause();
    }
    CHECK(rank == 2 && kill(pids[0], SIGRTMAX) == 0);
    CHECK(status_of(pids[0]) == SIGRTMAX);
    CHECK(kill(pids[1], SIGSEGV) == 0);
    CHECK((status_of(pids[1]) & 0x7f) == SIGSEGV);
}

// One that has ended by a signal with a core does not keep the others from coming home.
static void survivors(void) {
    int nodes[] = {0, 1}, pids[2];
    char path[300];
    snprintf(path, sizeof path, "%s/ended", folder);
    int rank = bproc_vrfork(2, nodes, pids);
    if (rank == 0) abort();
    if (rank == 1) {
        while (access(path, F_OK) != 0) pause_briefly();
        _exit(bproc_move(BPROC_NODE_MASTER) == 0 ? 6 : errno);
    }
    CHECK(rank == 2 && (status_of(pids[0]) & 0x7f) == SIGABRT);
    close(open(path, O_WRONLY | O_CREAT, 0666));
    CHECK(status_of(pids[1]) == 6 << 8);
}

// Stopped while it comes, it comes when it goes on.
static void suspended(void) {
    for (int i = 0; i < 10; i++) {
        int status, pid = bproc_rfork(0);
        if (pid == 0) {
            for (int k = 0; k < 6; k++) {
                int result = bproc_move(k % 2 ? 0 : BPROC_NODE_MASTER);
                // What stops it in the last moment may keep it where it is.
                if (result != 0 && errno != EAGAIN) _exit(1);
            }
            _exit(5);
        }
        for (int k = 0; k < 4; k++) {
            usleep((useconds_t)(i * 400));
            if (kill(pid, SIGSTOP) < 0) break;
            if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) break;
            CHECK(kill(pid, SIGCONT) == 0);
        }
        if (WIFSTOPPED(status)) status = status_of(pid);
        CHECK(status == 5 << 8);
    }
    CHECK(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
}

// Ranks of one call whose ghosts have one memory: some come home, the others do not.
static void some(void) {
    int nodes[] = {0, 1, 0, 1, 0, 1}, pids[6];
    int rank = bproc_vrfork(6, nodes, pids);
    if (rank >= 0 && rank < 6) {
        if (rank % 2 == 0 && bproc_move(BPROC_NODE_MASTER) != 0) _exit(100);
        if (bproc_currnode() != (rank % 2 == 0 ? BPROC_NODE_MASTER : 1)) _exit(101);
        _exit(rank);
    }
    CHECK(rank == 6);
    if (rank < 0) printf("%s\n", bproc_reason());
    for (int i = 0; i < 6; i++) CHECK(pids[i] > 0 && status_of(pids[i]) == i << 8);
    CHECK(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
}

// Killed at any time on the way.
static void killed(void) {
    for (int i = 0; i < 30; i++) {
        int pid = bproc_rfork(i % 2);
        if (pid == 0) {
            for (int k = 0;; k++) {
                if (bproc_move(k % 2 ? k / 2 % 2 : BPROC_NODE_MASTER) != 0) exit(1);
            }
        }
        usleep((useconds_t)(i * 300));
        CHECK(kill(pid, SIGKILL) == 0 && status_of(pid) == SIGKILL);
    }
    CHECK(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
}

// With descriptors of its own choice it is no ghost's process, but one more of this machine.
static void redirected(void) {
    struct bproc_io_t io = {.fd = 1, .type = BPROC_IO_FILE};
    snprintf(io.d.file.name, sizeof io.d.file.name, "%.200s/redirected", folder);
    io.d.file.flags = O_WRONLY | O_CREAT | O_TRUNC;
    io.d.file.mode = 0644;
    int pid = bproc_rfork(0);
    if (pid == 0) {
        if (bproc_move_io(BPROC_NODE_MASTER, &io, 1) != 0) _exit(1);
        _exit(write(1, "there\n", 6) == 6 ? 9 : 2);
    }
    CHECK(pid > 0 && status_of(pid) == 9 << 8);
}

int main(int argc, char *argv[]) {
    static const struct test_case cases[] = {
        {"own", own},         {"belongings", belongings}, {"child", child},   {"stops", stops},
        {"signals", signals}, {"some", some},             {"killed", killed},
        {"redirected", redirected}, {"mistaken", mistaken}, {"suspended", suspended},
        {"survivors", survivors},
    };
    if (argc < 3) return 2;
    snprintf(folder, sizeof folder, "%s", argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    return run_case(cases, sizeof cases / sizeof *cases, argv[1]);
}
