// Measures the table of nodes: a change, the news of it, and the table. Prints one JSON line for
// each figure, as moves.c does:
//
//     {"figure": "change", "nanoseconds": [110000, 134000]}
//
// usage: nodes NODE (one that is up, of the cluster that libbproc finds; its mode is changed)
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
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

int main(int argc, char **argv) {
    if (argc != 2) return 64;
    int node = atoi(argv[1]);
    int notifier = bproc_notifier();
    if (notifier < 0) fail("notifier");
    measure(node, notifier, 10000,
            (const char *[]){"change", "change to wake of a notifier", "table by a notifier"});
    measure(node, notifier, 0,
            (const char *[]){"change, in a row", "change to wake, in a row", "table, in a row"});
    return 0;
}
