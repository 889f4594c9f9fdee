// Measures the calls that move a running process. Prints one JSON line for each figure:
//
//     {"figure": "rfork", "nanoseconds": [2110000, 2034000], "bytes": 1830912}
//
// usage: moves rfork | leave | pingpong | dump | undump [HEAP-KIB]
//        moves vrfork NODES PROGRAM
//
// The cluster is the one that libbproc finds. Clocks of different nodes are compared nowhere but
// where they are one machine's.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 30, VECTOR_ROUNDS = 5 };

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "moves: %s: %s (%s)\n", what, bproc_strerror(errno), bproc_reason());
    exit(1);
}

// Touched and incompressible: all of it travels.
static unsigned char *make_heap(size_t byte_count) {
    unsigned char *heap = mmap(NULL, byte_count, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (heap == MAP_FAILED) fail("memory");
    uint64_t state = 88172645463325252u;
    for (size_t at = 0; at + 8 <= byte_count; at += 8) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        memcpy(heap + at, &state, 8);
    }
    return heap;
}

static void report(const char *figure, const int64_t *times, int count, long bytes) {
    printf("{\"figure\": \"%s\", \"nanoseconds\": [", figure);
    for (int i = 0; i < count; i++) printf("%s%lld", i ? ", " : "", (long long)times[i]);
    printf("], \"bytes\": %ld}\n", bytes);
    fflush(stdout);
}

// Bytes of an image of this process.
static long image_bytes(void) {
    int file = open("/dev/null", O_WRONLY);
    long bytes = bproc_dump(file, BPROC_DUMP_ALL);
    close(file);
    if (bytes <= 0) fail("dump");
    return bytes;
}

// A child on node 0 that ends at once, and the news of its end.
static void measure_rfork(size_t heap_bytes) {
    int64_t call[ROUNDS], whole[ROUNDS];
    int has_ghosts = 0;
    make_heap(heap_bytes);
    long bytes = image_bytes();
    for (int round = -2; round < ROUNDS; round++) {
        int64_t start = now();
        int pid = bproc_rfork_io(0, NULL, 0);
        if (pid == 0) _exit(7);
        if (pid < 0) fail("rfork");
        int64_t back = now();
        int status, ended;
        while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {}
        // Without a ghost the child is no child that wait knows: only the call is measured.
        has_ghosts = ended == pid;
        if (!has_ghosts && errno != ECHILD) fail("wait");
        if (has_ghosts && (!WIFEXITED(status) || WEXITSTATUS(status) != 7)) fail("exit status");
        if (round < 0) continue;
        call[round] = back - start;
        whole[round] = now() - start;
    }
    report("rfork", call, ROUNDS, bytes);
    if (has_ghosts) report("rfork, exit, wait", whole, ROUNDS, bytes);
}

// From the front end to node 0, for good: a child each time, which is its own ghost from then on.
static void measure_leave(size_t heap_bytes) {
    int64_t times[ROUNDS];
    char path[] = "/tmp/bproc-moves-XXXXXX";
    int file = mkstemp(path);
    if (file < 0) fail("file");
    make_heap(heap_bytes);
    for (int round = -2; round < ROUNDS; round++) {
        pid_t child = fork();
        if (child < 0) fail("fork");
        if (child == 0) {
            int64_t start = now();
            if (bproc_move_io(0, NULL, 0) < 0) _exit(1);
            int64_t took = now() - start;
            file = open(path, O_WRONLY);
            _exit(write(file, &took, sizeof took) == sizeof took ? 0 : 2);
        }
        int status;
        int64_t took;
        if (waitpid(child, &status, 0) < 0 || status != 0) fail("move");
        if (pread(file, &took, sizeof took, 0) != sizeof took) fail("report");
        if (round >= 0) times[round] = took;
    }
    unlink(path);
    report("move from the front end", times, ROUNDS, image_bytes());
}

// From node 0 to node 1 and back.
static void measure_pingpong(size_t heap_bytes) {
    int64_t times[ROUNDS];
    // The outputs of a process that moves belong to the node: the report goes to a file.
    char path[] = "/tmp/bproc-moves-XXXXXX";
    int file = mkstemp(path);
    if (file < 0) fail("file");
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        make_heap(heap_bytes);
        if (bproc_move_io(0, NULL, 0) < 0) _exit(1);
        for (int round = -2; round < ROUNDS; round++) {
            int64_t start = now();
            if (bproc_move_io(1, NULL, 0) < 0 || bproc_move_io(0, NULL, 0) < 0) _exit(2);
            if (round >= 0) times[round] = now() - start;
        }
        file = open(path, O_WRONLY);
        _exit(write(file, times, sizeof times) == sizeof times ? 0 : 3);
    }
    int status;
    if (waitpid(child, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "moves: the process that moved ended with wait status %d\n", status);
        exit(1);
    }
    if (pread(file, times, sizeof times, 0) != sizeof times) fail("report");
    unlink(path);
    make_heap(heap_bytes);
    report("move there and back", times, ROUNDS, image_bytes());
}

// A dump into a fresh memory file, and write() of the same bytes into another.
static void measure_dump(size_t heap_bytes) {
    int64_t dump[ROUNDS], floor[ROUNDS];
    make_heap(heap_bytes);
    long bytes = 0;
    for (int round = -2; round < ROUNDS; round++) {
        int file = memfd_create("dump", 0);
        int64_t start = now();
        bytes = bproc_dump(file, BPROC_DUMP_ALL);
        int64_t end = now();
        if (bytes <= 0) fail("dump");
        if (round >= 0) dump[round] = end - start;
        // Mapped while no dump is taken: a copy would be part of the next one.
        void *image = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
        if (image == MAP_FAILED) fail("map the dump");
        int copy = memfd_create("floor", 0);
        start = now();
        if (write(copy, image, (size_t)bytes) != bytes) fail("write");
        if (round >= 0) floor[round] = now() - start;
        munmap(image, (size_t)bytes);
        close(copy);
        close(file);
    }
    report("dump", dump, ROUNDS, bytes);
    report("write of the same bytes", floor, ROUNDS, bytes);
}

// From the call of bproc_undump to the first instruction of the program in the image, which is
// sealed, as one that arrives on a node is checked before.
static void measure_undump(size_t heap_bytes) {
    enum { NEWS = 100 };
    int64_t times[ROUNDS];
    int news[2];
    make_heap(heap_bytes);
    if (pipe(news) < 0 || dup2(news[1], NEWS) < 0) fail("pipe");
    int file = memfd_create("dump", MFD_ALLOW_SEALING);
    long bytes = bproc_dump(file, BPROC_DUMP_ALL);
    int64_t arrived = now();
    if (bytes == 0) _exit(write(NEWS, &arrived, sizeof arrived) == sizeof arrived ? 0 : 1);
    if (bytes < 0) fail("dump");
    if (fchmod(file, 0555) < 0 ||
        fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        fail("seal");
    }
    for (int round = -2; round < ROUNDS; round++) {
        int64_t moments[2];
        if (lseek(file, 0, SEEK_SET) < 0) fail("seek");
        pid_t child = fork();
        if (child < 0) fail("fork");
        if (child == 0) {
            moments[0] = now();
            if (write(NEWS, moments, sizeof *moments) == sizeof *moments) bproc_undump(file);
            fail("undump");
        }
        int status;
        if (waitpid(child, &status, 0) < 0 || status != 0) fail("the image ended otherwise");
        if (read(news[0], moments, sizeof moments) != sizeof moments) fail("news");
        if (round >= 0) times[round] = moments[1] - moments[0];
    }
    report("undump", times, ROUNDS, bytes);
}

// One image of 4 MiB to many nodes, beside a program of that size.
static void measure_vrfork(int node_count, size_t heap_bytes, const char *program) {
    int64_t fork_times[VECTOR_ROUNDS], program_times[VECTOR_ROUNDS];
    int *nodes = calloc((size_t)node_count, sizeof *nodes);
    int *pids = calloc((size_t)node_count, sizeof *pids);
    if (!nodes || !pids) fail("memory");
    for (int i = 0; i < node_count; i++) nodes[i] = i;
    char *const arguments[] = {(char *)program, NULL}, *const environment[] = {NULL};
    make_heap(heap_bytes);
    for (int round = -1; round < VECTOR_ROUNDS; round++) {
        int64_t start = now();
        int result = bproc_vrfork_io(node_count, nodes, pids, NULL, 0);
        int64_t end = now();
        if (result >= 0 && result < node_count) _exit(0);
        if (result < 0) fail("vrfork");
        for (int i = 0; i < node_count; i++)
            if (pids[i] <= 0) errno = -pids[i], fail("a rank of vrfork");
        if (round >= 0) fork_times[round] = end - start;
        sleep(1);
        start = now();
        result = bproc_vexecmove_io(node_count, nodes, pids, NULL, 0, program, arguments,
                                    environment);
        end = now();
        if (result < 0) fail("vexecmove");
        for (int i = 0; i < node_count; i++)
            if (pids[i] <= 0) errno = -pids[i], fail("a rank of vexecmove");
        if (round >= 0) program_times[round] = end - start;
        sleep(2);
    }
    report("vrfork", fork_times, VECTOR_ROUNDS, (long)heap_bytes);
    report("vexecmove", program_times, VECTOR_ROUNDS, 0);
}

int main(int count, char **words) {
    const char *figure = count > 1 ? words[1] : "";
    size_t heap_bytes = (size_t)(count > 2 ? atol(words[2]) : 1024) << 10;
    if (!strcmp(figure, "rfork")) measure_rfork(heap_bytes);
    else if (!strcmp(figure, "leave")) measure_leave(heap_bytes);
    else if (!strcmp(figure, "pingpong")) measure_pingpong(heap_bytes);
    else if (!strcmp(figure, "dump")) measure_dump(heap_bytes);
    else if (!strcmp(figure, "undump")) measure_undump(heap_bytes);
    else if (!strcmp(figure, "vrfork") && count > 3)
        measure_vrfork(atoi(words[2]), (size_t)4 << 20, words[3]);
    else {
        fprintf(stderr, "usage: moves rfork | leave | pingpong | dump | undump [HEAP-KIB]\n"
                        "       moves vrfork NODES PROGRAM\n");
        return 64;
    }
    return 0;
}
