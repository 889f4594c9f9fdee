// Measures remote processes as children: how soon their ends are known, how soon a signal has
// worked, and many of them. Prints one JSON line for each figure:
//
//     {"figure": "exit to status", "nanoseconds": [812000, 640000], "processes": 16}
//
// usage: processes exits NODES | kills NODES | many NODES COUNT
//
// The cluster is the one that libbproc finds, and its nodes share the caller's clock and files: all
// are on one machine.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20, STEP_NANOSECONDS = 10000000, RANKS_PER_CALL = 5 };

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "processes: %s: %s (%s)\n", what, bproc_strerror(errno), bproc_reason());
    exit(1);
}

static void *memory(size_t count, size_t size) {
    void *place = calloc(count, size);
    if (!place) fail("memory");
    return place;
}

static void report(const char *figure, const int64_t *times, int count, int processes) {
    printf("{\"figure\": \"%s\", \"nanoseconds\": [", figure);
    for (int i = 0; i < count; i++) printf("%s%lld", i ? ", " : "", (long long)times[i]);
    printf("], \"processes\": %d}\n", processes);
    fflush(stdout);
}

// One child on each node in turn, until there are so many. The rank in a child, or count.
static int start(int count, int node_count, int *pids) {
    int *nodes = memory((size_t)count, sizeof *nodes);
    for (int i = 0; i < count; i++) nodes[i] = i % node_count;
    int rank = bproc_vrfork_io(count, nodes, pids, NULL, 0);
    if (rank < 0) fail("vrfork");
    free(nodes);
    for (int i = 0; rank == count && i < count; i++) {
        if (pids[i] > 0) continue;
        errno = -pids[i];
        fail("a child");
    }
    return rank;
}

static int rank_of(const int *pids, int count, int pid) {
    for (int rank = 0; rank < count; rank++) {
        if (pids[rank] == pid) return rank;
    }
    fail("an unknown child");
}

// Writes the time in its place of the file, as the last thing before the end.
static _Noreturn void end_at(int64_t time, const char *file, int rank) {
    int descriptor = open(file, O_WRONLY | O_CLOEXEC);
    struct timespec until = {.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {}
    int64_t last = now();
    (void)!pwrite(descriptor, &last, sizeof last, (off_t)rank * (off_t)sizeof last);
    _exit(7);
}

// From the last thing that a process does to the return of waitpid in its parent: each alone, every
// ten milliseconds.
static void measure_exits(int count) {
    int *pids = memory((size_t)count, sizeof *pids);
    int64_t *times = memory((size_t)count * ROUNDS, sizeof *times);
    int64_t *ended = memory((size_t)count, sizeof *ended);
    char file[] = "/tmp/bproc-exits-XXXXXX";
    int descriptor = mkostemp(file, O_CLOEXEC);
    if (descriptor < 0 || fchmod(descriptor, 0666) < 0) fail(file);
    for (int round = 0; round < ROUNDS; round++) {
        // Long enough for the launch.
        int64_t first = now() + 1000000000;
        int rank = start(count, count, pids);
        if (rank < count) end_at(first + rank * (int64_t)STEP_NANOSECONDS, file, rank);
        if (now() > first) fail("the launch took too long");
        int64_t back;
        for (int left = count; left > 0; left--) {
            int status, pid = wait(&status);
            back = now();
            if (pid < 0 || status != 7 << 8) fail("exit status");
            ended[rank_of(pids, count, pid)] = back;
        }
        for (int i = 0; i < count; i++) {
            int64_t last;
            if (pread(descriptor, &last, sizeof last, (off_t)i * (off_t)sizeof last) !=
                sizeof last) {
                fail("the time of an exit");
            }
            times[round * count + i] = ended[i] - last;
        }
    }
    unlink(file);
    report("exit to status", times, count * ROUNDS, count);
}

// From kill to the return of waitpid with that signal, one child after the other.
static void measure_kills(int count) {
    int *pids = memory((size_t)count, sizeof *pids);
    int64_t *times = memory((size_t)count * ROUNDS, sizeof *times);
    for (int round = 0; round < ROUNDS; round++) {
        if (start(count, count, pids) < count) {
            for (;;) pause();
        }
        for (int i = 0; i < count; i++) {
            int status;
            int64_t begin = now();
            if (kill(pids[i], SIGTERM) < 0) fail("kill");
            if (waitpid(pids[i], &status, 0) != pids[i] || status != SIGTERM) fail("its status");
            times[round * count + i] = now() - begin;
        }
    }
    report("kill to status", times, count * ROUNDS, count);
}

static int list(void) {
    struct bproc_proc_info_t *entries;
    int count = bproc_proclist(BPROC_NODE_ANY, &entries);
    if (count < 0) fail("the list");
    free(entries);
    return count;
}

// Many at once: created, by some calls with a few children for each node; listed, signalled, waited
// for. One call for all would have every node restore for seconds; each call more is an image more
// in the memory of each node.
static void measure_many(int node_count, int count) {
    int *pids = memory((size_t)count, sizeof *pids);
    int64_t began = now();
    const int most = node_count * RANKS_PER_CALL;
    for (int made = 0; made < count; made += most) {
        int part = count - made < most ? count - made : most;
        if (start(part, node_count, pids + made) < part) {
            for (;;) pause();
        }
    }
    int64_t created = now();
    int listed = list();
    int64_t read = now();
    if (listed != count) fail("not all are listed");
    for (int i = 0; i < count; i++) {
        if (kill(pids[i], SIGTERM) < 0) fail("kill");
    }
    int64_t signalled = now();
    for (int left = count; left > 0; left--) {
        int status;
        if (wait(&status) < 0 || status != SIGTERM) fail("a status");
    }
    int64_t reaped = now();
    while (list() > 0) {}
    report("created", &(int64_t){created - began}, 1, count);
    report("listed", &(int64_t){read - created}, 1, count);
    report("signalled", &(int64_t){signalled - read}, 1, count);
    report("signalled and reaped", &(int64_t){reaped - read}, 1, count);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int nodes = argc > 2 ? atoi(argv[2]) : 0, count = argc > 3 ? atoi(argv[3]) : 0;
    if (argc == 3 && nodes > 0 && strcmp(what, "exits") == 0) {
        measure_exits(nodes);
    } else if (argc == 3 && nodes > 0 && strcmp(what, "kills") == 0) {
        measure_kills(nodes);
    } else if (argc == 4 && nodes > 0 && count > 0 && strcmp(what, "many") == 0) {
        measure_many(nodes, count);
    } else {
        fprintf(stderr, "usage: processes exits NODES | kills NODES | many NODES COUNT\n");
        return 64;
    }
    return 0;
}
