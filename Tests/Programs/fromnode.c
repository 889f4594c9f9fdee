// A program that is placed on a node and uses the cluster from there. The cluster tests link it
// with the sources of libbproc.
//   fromnode ask                     says what the library answers here
//   fromnode image COUNT             starts the image on standard input on nodes 0 to COUNT-1
//   fromnode program COUNT COMMAND   takes the image of COMMAND here, and starts it likewise
//   fromnode hold COUNT              starts the image on standard input, says "held", and waits
//   fromnode travel NODE...          moves there, one after the other, and says where it was
//   fromnode fork COUNT DIRECTORY    forks onto nodes 0 to COUNT-1, which leave their word there
//   fromnode become COMMAND...       has the front end execute a program, and becomes it
//   fromnode capture COMMAND...      writes the image of a program to standard output
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NODES_MAX = 64 };

static int fail(const char *what) {
    printf("%s: %s (%d)\n", what, bproc_reason(), errno);
    fflush(stdout);
    return 1;
}

static int ask(void) {
    struct bproc_node_set_t set;
    char status[16] = "";
    printf("currnode %d\n", bproc_currnode());
    printf("numnodes %d\n", bproc_numnodes());
    if (bproc_nodelist(&set) < 0) return fail("nodelist");
    int up = 0;
    for (int i = 0; i < set.size; i++) up += !strcmp(set.node[i].status, "up");
    printf("nodelist %d up %d\n", set.size, up);
    if (bproc_nodestatus(0, status, sizeof status) < 0) return fail("nodestatus");
    printf("nodestatus %s\n", status);
    printf("socket %s\n", getenv("BPROC_SOCKET"));
    return 0;
}

static int copy(int from, int to) {
    char bytes[65536];
    ssize_t count;
    while ((count = read(from, bytes, sizeof bytes)) > 0) {
        for (ssize_t done = 0; done < count;) {
            ssize_t written = write(to, bytes + done, (size_t)(count - done));
            if (written < 0) return -1;
            done += written;
        }
    }
    return count < 0 ? -1 : 0;
}

static int image_from_input(void) {
    int file = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0 || copy(0, file) < 0) return -1;
    if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) return -1;
    return file;
}

static bproc_job_t *launch(int image, int count) {
    int nodes[NODES_MAX];
    for (int i = 0; i < count; i++) nodes[i] = i;
    struct bproc_job_request request = {
        .struct_bytes = sizeof request,
        .image = image,
        .rank_count = count,
        .nodes = nodes,
        .command = "fromnode",
        .io_count = BPROC_JOB_FORWARD,
        .flags = BPROC_JOB_NULL_INPUT | BPROC_JOB_END_WITH_CALLER,
        .fan_out = 2,
    };
    bproc_job_t *job = NULL;
    if (image < 0 || bproc_job_launch(&request, &job) < 0) return NULL;
    return job;
}

// Prints what the job says until it ends.
static int follow(bproc_job_t *job) {
    struct bproc_job_event event;
    int next;
    for (;;) {
        while ((next = bproc_job_next(job, &event)) == 0) {
            struct pollfd entry = {bproc_job_descriptor(job), bproc_job_poll_events(job), 0};
            if (poll(&entry, 1, -1) < 0) return fail("poll");
        }
        if (next < 0) return fail("event");
        switch (event.kind) {
        case BPROC_EVENT_STARTED: printf("placed %d\n", event.placed_count); break;
        case BPROC_EVENT_FAILURE:
            printf("failed rank %d node %d errno %d: %s\n", event.rank, event.node, event.error,
                   event.text);
            break;
        case BPROC_EVENT_OUTPUT:
            if (event.byte_count == 0) break;
            printf("rank %d: %.*s", event.rank, (int)event.byte_count, (const char *)event.bytes);
            bproc_job_consumed(job, event.rank, event.stream, event.byte_count);
            break;
        case BPROC_EVENT_EXIT:
            printf("exit rank %d node %d status %d\n", event.rank, event.node, event.status);
            break;
        case BPROC_EVENT_END:
            printf("end %d %s\n", event.error, event.error ? event.text : "");
            fflush(stdout);
            return event.error != 0;
        default: break;
        }
        fflush(stdout);
    }
}

static int start(int image, int count) {
    bproc_job_t *job = launch(image, count);
    if (!job) return fail("launch");
    int result = follow(job);
    bproc_job_close(job);
    return result;
}

static int hold(int image, int count) {
    bproc_job_t *job = launch(image, count);
    if (!job || bproc_job_wait_started(job) < 0) return fail("launch");
    printf("held\n");
    fflush(stdout);
    for (;;) pause();
}

// Where a rank leaves its word: the nodes of the tests share a file system.
static int note(const char *directory, int rank, char *text, size_t size, bool writes) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/rank-%d", directory, rank);
    int file = open(path, writes ? O_WRONLY | O_CREAT | O_EXCL : O_RDONLY, 0644);
    if (file < 0) return -1;
    ssize_t count = writes ? write(file, text, size) : read(file, text, size);
    close(file);
    return count > 0 ? (int)count : -1;
}

static int fork_all(int count, const char *directory) {
    int nodes[NODES_MAX], pids[NODES_MAX], placed = 0;
    unsigned *data = malloc(sizeof *data * NODES_MAX);
    char text[64];
    for (int i = 0; i < NODES_MAX; i++) {
        nodes[i] = i;
        data[i] = 100u + (unsigned)i;
    }
    int rank = bproc_vrfork(count, nodes, pids);
    if (rank < 0) return fail("vrfork");
    if (rank < count) {
        int size = snprintf(text, sizeof text, "node %d, data %u", bproc_currnode(), data[rank]);
        return note(directory, rank, text, (size_t)size, true) < 0;
    }
    for (int i = 0; i < count; i++) placed += pids[i] > 0;
    printf("placed %d\n", placed);
    for (int i = 0; i < count; i++) {
        int size;
        while ((size = note(directory, i, text, sizeof text, false)) < 0) usleep(1000);
        printf("rank %d: %.*s\n", i, size, text);
    }
    return 0;
}

// Its heap and its stack travel with it.
static int travel(int count, char *nodes[]) {
    unsigned sum = 0, *parts = calloc((size_t)count, sizeof *parts);
    for (int i = 0; i < count; i++) {
        int node = atoi(nodes[i]);
        if (bproc_move(node) < 0) return fail("move");
        if (bproc_currnode() != node) return fail("currnode");
        parts[i] = (unsigned)(node + 2) * 1000u + (unsigned)i;
    }
    for (int i = 0; i < count; i++) sum += parts[i];
    printf("at %d after %d moves, sum %u\n", bproc_currnode(), count, sum);
    return 0;
}

// The program is the same process: its pid, its open files, what it ignores.
static int become(char *command[]) {
    sigset_t pending;
    int status;
    printf("pid %d\n", (int)getpid());
    fflush(stdout);
    signal(SIGUSR1, SIG_IGN);
    // What cannot be had leaves the caller as it was, and without a child.
    char missing[] = "/nothing/here";
    char *const words[] = {missing, NULL};
    if (bproc_execve(missing, words, NULL) != -1 || errno != ENOENT) return fail("missing");
    if (waitpid(-1, &status, 0) != -1 || errno != ECHILD) return fail("a child is left");
    if (sigpending(&pending) < 0 || sigismember(&pending, SIGCHLD)) return fail("SIGCHLD");
    if (dup2(1, 7) != 7 || bproc_currnode() < 0) return fail("descriptor 7");
    (void)bproc_execve(command[0], command, NULL);
    return fail("execve");
}

int main(int argc, char *argv[]) {
    const char *mode = argc > 1 ? argv[1] : "";
    int count = argc > 2 ? atoi(argv[2]) : 0;
    if (!strcmp(mode, "ask")) return ask();
    if (!strcmp(mode, "travel")) return travel(argc - 2, argv + 2);
    if (!strcmp(mode, "become") && argc > 2) return become(argv + 2);
    if (!strcmp(mode, "capture") && argc > 2) {
        int image = bproc_capture(argv[2], argv + 2, NULL, BPROC_CAPTURE_AT_ENTRY, NULL);
        if (image < 0 || lseek(image, 0, SEEK_SET) < 0 || copy(image, 1) < 0) {
            fprintf(stderr, "capture: %s\n", bproc_reason());
            return 1;
        }
        return 0;
    }
    if (count < 1 || count > NODES_MAX) return 2;
    if (!strcmp(mode, "fork") && argc > 3) return fork_all(count, argv[3]);
    if (!strcmp(mode, "image")) return start(image_from_input(), count);
    if (!strcmp(mode, "hold")) return hold(image_from_input(), count);
    if (!strcmp(mode, "program") && argc > 3) {
        int image = bproc_capture(argv[3], argv + 3, NULL, BPROC_CAPTURE_AT_ENTRY, NULL);
        if (image < 0) return fail("capture");
        return start(image, count);
    }
    return 2;
}
