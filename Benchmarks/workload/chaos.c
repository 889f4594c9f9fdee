// A caller for the chaos test: forks onto nodes as a seed has it, waits for every child, and holds
// each status against what the child was to do. In chaos a child may also be killed, or not start.
//
// usage: chaos SEED NODES COUNT
//
// Prints how many ended as they should, were killed, gave up, or did not start. Status 1: a child
// ended as it never could.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/bproc.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GAVE_UP = 99 }; // a call of a child has failed, because of somebody's death

enum part { EXITS, RESTS, LEAVES_ORPHAN, FORKS_ON, MOVES, ENDS_BY_SIGNAL, PARTS };

static uint64_t state;

// splitmix64: the same numbers on every machine.
static uint32_t next(uint32_t limit) {
    uint64_t word = state += 0x9e3779b97f4a7c15u;
    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9u;
    word = (word ^ word >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((word ^ word >> 31) >> 32) % limit;
}

static void rest(void) {
    struct timespec time = {.tv_nsec = 1000000 * (long)(1 + next(200))};
    (void)nanosleep(&time, NULL);
}

static void leave_orphan(void) {
    pid_t between = fork();
    if (between == 0) {
        if (fork() == 0) {
            for (;;) pause();
        }
        _exit(0);
    }
    if (between > 0) (void)waitpid(between, NULL, 0);
}

static void fork_on(int node) {
    int pid = bproc_rfork(node);
    if (pid == 0) {
        rest();
        _exit(5);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) _exit(GAVE_UP);
    if (status != 5 << 8) _exit(GAVE_UP);
}

static _Noreturn void act(enum part part, int node, int code) {
    switch (part) {
    case EXITS: break;
    case RESTS: rest(); break;
    case LEAVES_ORPHAN: leave_orphan(); break;
    case FORKS_ON: fork_on(node); break;
    case MOVES:
        if (bproc_move(node) < 0) _exit(GAVE_UP);
        break;
    default:
        raise(SIGTERM);
        for (;;) pause();
    }
    _exit(code);
}

static int is_possible(enum part part, int code, int status) {
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        return number == SIGKILL || (part == ENDS_BY_SIGNAL && number == SIGTERM);
    }
    if (part == ENDS_BY_SIGNAL) return 0;
    int gives_up = part == FORKS_ON || part == MOVES;
    // A stand-in that does not know how its process has ended.
    int is_lost = part == MOVES && WEXITSTATUS(status) == 255;
    return WEXITSTATUS(status) == code || is_lost ||
           (gives_up && WEXITSTATUS(status) == GAVE_UP);
}

int main(int argc, char **argv) {
    if (argc != 4) return 64;
    state = strtoull(argv[1], NULL, 10);
    int node_count = atoi(argv[2]), count = atoi(argv[3]);
    if (node_count <= 0 || count <= 0 || count > 1024) return 64;
    int nodes[1024], others[1024], pids[1024];
    enum part parts[1024];
    for (int i = 0; i < count; i++) {
        nodes[i] = (int)next((uint32_t)node_count);
        others[i] = (int)next((uint32_t)node_count);
        parts[i] = (enum part)next(PARTS);
    }
    int rank = bproc_vrfork_io(count, nodes, pids, NULL, 0);
    if (rank >= 0 && rank < count) act(parts[rank], others[rank], rank % 90);
    int right = 0, killed = 0, gave_up = 0, missing = 0;
    for (int i = 0; i < count; i++) {
        int status;
        if (rank < 0 || pids[i] <= 0) {
            missing++;
            continue;
        }
        if (waitpid(pids[i], &status, 0) != pids[i] ||
            !is_possible(parts[i], i % 90, status)) {
            printf("rank %d, part %d, node %d: status %#x (errno %d)\n", i, (int)parts[i], nodes[i],
                   status, errno);
            return 1;
        }
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
            killed++;
        } else if (WIFEXITED(status) && WEXITSTATUS(status) >= GAVE_UP) {
            gave_up++;
        } else {
            right++;
        }
    }
    printf("right %d, killed %d, gave up %d, not started %d\n", right, killed, gave_up, missing);
    return 0;
}
