// Ghosts against forks, in one run: ghosts BPMASTER [COUNT]. Time until all are there, time until
// all are killed and waited for, and the kernel's memory for one (stacks, page tables, slabs of the
// whole machine, so let nothing else run).
#define _GNU_SOURCE
#include <bproc_local.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct measure {
    double made, ended; // milliseconds
    double memory;      // kB for one
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static double kernel_memory(void) {
    static const char *const names[] = {"KernelStack:", "PageTables:", "Slab:"};
    char line[256];
    double sum = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        for (int i = 0; i < 3; i++) {
            size_t length = strlen(names[i]);
            if (strncmp(line, names[i], length) == 0) sum += atof(line + length);
        }
    }
    if (file) fclose(file);
    return sum;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void end_all(const pid_t *pids, int count) {
    for (int i = 0; i < count; i++) kill(pids[i], SIGKILL);
    for (int i = 0; i < count; i++) {
        int status = 0;
        if (waitpid(pids[i], &status, 0) != pids[i] || status != SIGKILL) fail("waitpid");
    }
}

static struct measure forks(int count, pid_t *pids) {
    double memory = kernel_memory(), start = now();
    for (int i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (;;) pause();
        }
        if (pids[i] < 0) fail("fork");
    }
    struct measure result = {.made = now() - start};
    usleep(200000);
    result.memory = (kernel_memory() - memory) / count;
    start = now();
    end_all(pids, count);
    result.ended = now() - start;
    return result;
}

// As the library does it: the helper makes them as its own children, and this process adopts them.
static pid_t start_helper(const char *daemon, int count, pid_t *pids, int *server) {
    int ends[2];
    struct {
        struct bproc_local_header header;
        struct bproc_local_ghosts ghosts;
    } question = {{BPROC_LOCAL_MAGIC, BPROC_LOCAL_VERSION, BPROC_LOCAL_GHOSTS,
                   sizeof question.ghosts, 0},
                  {.count = (uint32_t)count, .name = "ghost"}};
    struct {
        struct bproc_local_header header;
        struct bproc_local_ghosts_made made;
    } answer;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) fail("socketpair");
    pid_t holder = fork();
    if (holder == 0) {
        char option[32];
        snprintf(option, sizeof option, "--socket=%d", ends[1]);
        close(ends[0]);
        execl(daemon, "bproc-ghosts", "--helper=ghosts", option, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (holder < 0 || write(ends[0], &question, sizeof question) != sizeof question) fail("helper");
    if (recv(ends[0], &answer, sizeof answer, MSG_WAITALL) != sizeof answer) fail("answer");
    if (answer.made.made_count != (uint32_t)count) fail("fewer ghosts");
    size_t byte_count = (size_t)count * sizeof *pids;
    if (recv(ends[0], pids, byte_count, MSG_WAITALL) != (ssize_t)byte_count) fail("pids");
    *server = ends[0];
    return holder;
}

static struct measure ghosts(const char *daemon, int count, pid_t *pids) {
    int server;
    double memory = kernel_memory(), start = now();
    pid_t holder = start_helper(daemon, count, pids, &server);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    kill(holder, SIGKILL);
    if (waitpid(holder, NULL, 0) != holder) fail("holder");
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    struct measure result = {.made = now() - start};
    usleep(200000);
    result.memory = (kernel_memory() - memory) / count;
    start = now();
    end_all(pids, count);
    result.ended = now() - start;
    close(server);
    return result;
}

static void print(const char *name, struct measure measure) {
    printf("%-7s made in %6.1f ms, ended in %6.1f ms, %5.1f kB of the kernel's memory each\n", name,
           measure.made, measure.ended, measure.memory);
    fflush(stdout);
}

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[2]) : 1023;
    if (argc < 2 || count < 1 || count > 100000) {
        fprintf(stderr, "usage: ghosts BPMASTER [COUNT]\n");
        return 2;
    }
    pid_t *pids = calloc((size_t)count, sizeof *pids);
    if (!pids) fail("memory");
    // Once before, so that what the kernel keeps for the next time counts for neither.
    (void)forks(count, pids);
    usleep(500000);
    for (int i = 0; i < 3; i++) {
        print("ghosts", ghosts(argv[1], count, pids));
        usleep(500000);
        print("forks", forks(count, pids));
        usleep(500000);
    }
    free(pids);
    return 0;
}
