// Measures the table of nodes: a change, the news of it, and the table. Prints one JSON line for
// each figure, as moves.c does:
//
//     {"figure": "change", "nanoseconds": [110000, 134000]}
//
// usage: nodes NODE [PID]
// The node is one that is up, of the cluster that libbproc finds; its mode is changed. PID is the
// master's: it is told to read its configuration again, while it is asked without a pause.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 100 };

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "nodes: %s: %s (%s)\n", what, bproc_strerror(errno), bproc_reason());
    exit(1);
}

static void report(const char *figure, const int64_t *times) {
    printf("{\"figure\": \"%s\", \"nanoseconds\": [", figure);
    for (int i = 0; i < ROUNDS; i++) printf("%s%lld", i ? ", " : "", (long long)times[i]);
    puts("]}");
}

// From before the change to its news, which another program would have at the same time.
static void measure(int node, int notifier, useconds_t pause, const char *const figures[3]) {
    int64_t change[ROUNDS], wake[ROUNDS], list[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        usleep(pause);
        int64_t start = now();
        if (bproc_chmod(node, round % 2 ? 0111 : 0101) < 0) fail("chmod");
        change[round] = now() - start;
        struct pollfd entry = {.fd = notifier, .events = POLLIN};
        if (poll(&entry, 1, 10000) != 1) fail("no news");
        wake[round] = now() - start;
        struct bproc_node_set_t set;
        start = now();
        if (bproc_nodelist_(&set, notifier) < 0) fail("nodelist_");
        list[round] = now() - start;
        bproc_nodeset_free(&set);
    }
    report(figures[0], change);
    report(figures[1], wake);
    report(figures[2], list);
}

// The longest of the answers to small questions in the next 200 ms.
static int64_t longest_answer(int node) {
    char value[BPROC_XATTR_MAX_VALUE_SIZE];
    int64_t longest = 0, end = now() + 200000000;
    for (int64_t start = now(); start < end;) {
        if (bproc_getnodeattr(node, "none", value, sizeof value) >= 0 || errno != ENODATA) {
            fail("getnodeattr");
        }
        int64_t time = now();
        if (time - start > longest) longest = time - start;
        start = time;
    }
    return longest;
}

static void measure_reload(int node, pid_t master) {
    int64_t quiet[ROUNDS], reload[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        quiet[round] = longest_answer(node);
        if (kill(master, SIGHUP) < 0) fail("kill");
        reload[round] = longest_answer(node);
    }
    report("longest answer of 200 ms", quiet);
    report("longest answer of 200 ms, with a reload", reload);
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) return 64;
    int node = atoi(argv[1]);
    int notifier = bproc_notifier();
    if (notifier < 0) fail("notifier");
    measure(node, notifier, 10000,
            (const char *[]){"change", "change to wake of a notifier", "table by a notifier"});
    measure(node, notifier, 0,
            (const char *[]){"change, in a row", "change to wake, in a row", "table, in a row"});
    if (argc == 3) measure_reload(node, atoi(argv[2]));
    return 0;
}
