// Processes that move between nodes: moves CASE FOLDER. Nodes 0 and 1 are there.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[256];

static void note(const char *name, int number) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_number(path, number);
}

static int is_noted(const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void await(const char *name) {
    while (!is_noted(name)) pause_briefly();
}

// There and back, so often; each time it is the process that it was.
static int shuttle(int count) {
    int own = getpid();
    for (int i = 1; i <= count; i++) {
        if (bproc_move(i % 2) != 0 || bproc_currnode() != i % 2) return 10;
        if (getpid() != own) return 11;
        printf("%d\n", i);
    }
    return 0;
}

// ---- A child of this process ----

// A hundred moves; then it stays until the test has counted.
static void many(void) {
    int pid = bproc_rfork(0);
    if (pid == 0) {
        int result = shuttle(100);
        note("moved", result);
        await("counted");
        exit(42);
    }
    CHECK(pid > 0 && status_of(pid) == 42 << 8);
}

// Stops and continues are seen from both sides, wherever it has gone.
static void stops(void) {
    int status, pid = bproc_rfork(0);
    if (pid == 0) {
        if (shuttle(3) != 0) exit(1);
        kill(getpid(), SIGSTOP);
        if (shuttle(2) != 0) exit(2);
        raise(SIGSTOP);
        exit(7);
    }
    CHECK(pid > 0);
    for (int i = 0; i < 2; i++) {
        CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        CHECK(kill(pid, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    }
    CHECK(status_of(pid) == 7 << 8);
}

static volatile sig_atomic_t taken;
static void count_signal(int number) {
    (void)number;
    taken++;
}

enum { SIGNALS = 200 };

// What comes while it moves is not lost.
static void signals(void) {
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGRTMIN + 3, &action, NULL);
    int pid = bproc_rfork(0);
    if (pid == 0) {
        note("ready", 0);
        for (int i = 1; taken < SIGNALS; i++) {
            if (bproc_move(i % 2) != 0) exit(1);
        }
        exit(taken == SIGNALS ? 3 : 4);
    }
    await("ready");
    for (int i = 0; i < SIGNALS; i++) {
        CHECK(kill(pid, SIGRTMIN + 3) == 0);
        pause_briefly();
    }
    CHECK(status_of(pid) == 3 << 8);
}

// Stopped and let go while it moves, again and again: it is never left behind.
static void storm(void) {
    int pid = bproc_rfork(0), status;
    if (pid == 0) {
        for (int i = 1; !is_noted("over"); i++) {
            if (bproc_move(i % 2) != 0) exit(1);
        }
        exit(5);
    }
    for (int i = 0; i < 100; i++) {
        CHECK(kill(pid, SIGSTOP) == 0);
        CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        if (i % 3 == 0) pause_briefly();
        CHECK(kill(pid, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
        if (i % 2 == 0) pause_briefly();
    }
    note("over", 0);
    CHECK(status_of(pid) == 5 << 8);
}

// Killed on its way.
static void killed(void) {
    for (int i = 0; i < 20; i++) {
        int pid = bproc_rfork(0);
        if (pid == 0) {
            for (int k = 1;; k++) {
                if (bproc_move(k % 2) != 0) exit(1);
            }
        }
        for (int k = 0; k < i % 5; k++) pause_briefly();
        CHECK(kill(pid, SIGKILL) == 0);
        CHECK(status_of(pid) == SIGKILL);
    }
}

// A move that fails leaves the process what and where it was.
static void failed(void) {
    int pid = bproc_rfork(0);
    if (pid == 0) {
        if (bproc_move(1) != 0) exit(1);
        if (bproc_move(77) != -1 || bproc_currnode() != 1) exit(2);
        note("failed", getpid());
        await("found");
        exit(shuttle(2) == 0 ? 6 : 3);
    }
    await("failed");
    CHECK(bproc_pidnode(pid) == 1);
    note("found", 0);
    CHECK(status_of(pid) == 6 << 8);
}

// What it writes to a file of a node goes there, so something of it stays.
static void redirected(void) {
    char path[300], text[32] = "";
    int pid = bproc_rfork(0);
    snprintf(path, sizeof path, "%s/redirected.txt", folder);
    if (pid == 0) {
        if (!freopen(path, "w", stdout)) exit(1);
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (bproc_move(1) != 0) exit(2);
        printf("there\n");
        exit(0);
    }
    CHECK(status_of(pid) == 0);
    int file = open(path, O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text - 1) == 6 && strcmp(text, "there\n") == 0);
    close(file);
}

// A child that it leaves behind does not lose its output, nor the process its pid.
static void orphans(void) {
    int pid = bproc_rfork(0);
    if (pid == 0) {
        pid_t kid = fork();
        if (kid == 0) {
            await("gone");
            printf("kid\n");
            note("kid", 0);
            _exit(0);
        }
        int own = getpid();
        if (bproc_move(1) != -1 || errno != EBUSY) exit(1);
        if (_bproc_move(1, BPROC_MOVE_ORPHANS) != 0 || getpid() != own) exit(2);
        note("gone", 0);
        await("kid");
        exit(8);
    }
    CHECK(status_of(pid) == 8 << 8);
}

// The same for a process of this machine that moves itself: its parent here sees it, and a stop
// made here is one there.
static void own(void) {
    int status, pid = fork();
    if (pid == 0) {
        if (shuttle(3) != 0) exit(1);
        kill(getpid(), SIGSTOP);
        if (bproc_move(0) != 0) exit(2);
        raise(SIGSTOP);
        for (int i = 0; !is_noted("over"); i++) {
            note("beat", i);
            pause_briefly();
        }
        exit(7);
    }
    CHECK(pid > 0);
    for (int i = 0; i < 2; i++) {
        CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        CHECK(kill(pid, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    }
    await("beat");
    CHECK(kill(pid, SIGSTOP) == 0);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    // The order to stop is on its way to the node, where it is the only process.
    struct bproc_process_status *list = NULL;
    int is_stopped = 0;
    while (!is_stopped) {
        int count = bproc_processstatus(BPROC_NODE_ANY, 1000, &list);
        CHECK(count == 1);
        is_stopped = count == 1 && list[0].state == 'T';
        free(list);
        list = NULL;
        if (count != 1) break;
        pause_briefly();
    }
    note("over", 0);
    CHECK(kill(pid, SIGCONT) == 0);
    CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    CHECK(status_of(pid) == 7 << 8);
}

// Signals that come while it moves away from here, and its death by one.
static void away(void) {
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGRTMIN + 3, &action, NULL);
    for (int i = 0; i < 10; i++) {
        int pid = fork(), status;
        if (pid == 0) {
            if (bproc_move(i % 2) != 0) exit(1);
            while (taken < 20) pause_briefly();
            raise(SIGTERM);
        }
        for (int k = 0; k < 20; k++) {
            CHECK(kill(pid, SIGRTMIN + 3) == 0);
            if (k % 4 == 0) pause_briefly();
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == SIGTERM);
    }
    CHECK(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
}

// ---- This process ----

static void alone(void) {
    if (shuttle(100) != 0) exit(1);
    note("moved", 0);
    await("counted");
    exit(42);
}

int main(int argc, char *argv[]) {
    static const struct test_case cases[] = {
        {"many", many},     {"stops", stops},           {"signals", signals}, {"storm", storm},
        {"killed", killed}, {"failed", failed},         {"alone", alone},     {"own", own},
        {"away", away},     {"redirected", redirected}, {"orphans", orphans},
    };
    if (argc < 3) return 2;
    snprintf(folder, sizeof folder, "%s", argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    return run_case(cases, sizeof cases / sizeof *cases, argv[1]);
}
