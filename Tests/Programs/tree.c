// A tree of forks across nodes: every process forks two more onto other nodes, down to LEVELS, and
// waits for both: tree LEVELS NODES FOLDER. Process I has the children 2I + 1 and 2I + 2, and ends
// with I as its status; the first one, on the front end, prints how many there were.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_WRONG = 255 };

static int levels, nodes;
static const char *folder;

static int level_of(int process) {
    int level = 0;
    for (; process > 0; process = (process - 1) / 2) level++;
    return level;
}

// Says what went wrong in a file of the process, for whoever looks into the folder.
static _Noreturn void fail(int process, const char *what, long found) {
    char path[300], text[200];
    snprintf(path, sizeof path, "%s/%d.failed", folder, process);
    int length = snprintf(text, sizeof text, "process %d: %s: %ld (%s)\n", process, what, found,
                          bproc_strerror(errno));
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file >= 0) (void)!write(file, text, (size_t)length);
    _exit(STATUS_WRONG);
}

static void tell_pid(int process) {
    char path[300], text[60];
    snprintf(path, sizeof path, "%s/%d", folder, process);
    int length = snprintf(text, sizeof text, "%d %d\n", getpid(), bproc_currnode());
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (file < 0 || write(file, text, (size_t)length) != length) fail(process, "its file", file);
    close(file);
}

// What a process that has ended has said of its pid and node.
static void check_told(int process, int child, int pid) {
    char path[300], text[60] = "";
    int told_pid = 0, told_node = -2;
    snprintf(path, sizeof path, "%s/%d", folder, child);
    int file = open(path, O_RDONLY);
    if (file < 0 || read(file, text, sizeof text - 1) <= 0) fail(process, "a child's file", child);
    close(file);
    sscanf(text, "%d %d", &told_pid, &told_node);
    if (told_pid != pid) fail(process, "another pid in the child than here", told_pid);
    if (told_node != child % nodes) fail(process, "a child on another node", told_node);
}

static void run(int process) {
    int pids[2];
    if (level_of(process) == levels) return;
    for (int side = 0; side < 2; side++) {
        int child = 2 * process + 1 + side;
        pids[side] = bproc_rfork(child % nodes);
        if (pids[side] < 0) fail(process, "rfork", child);
        if (pids[side] == 0) {
            tell_pid(child);
            run(child);
            _exit(child);
        }
    }
    for (int side = 0; side < 2; side++) {
        int status, child = 2 * process + 1 + side;
        if (waitpid(pids[side], &status, 0) != pids[side]) fail(process, "waitpid", pids[side]);
        if (status != (child & 0xff) << 8) fail(process, "a child's status", status);
        check_told(process, child, pids[side]);
    }
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) fail(process, "a child too many", 0);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    levels = atoi(argv[1]);
    nodes = atoi(argv[2]);
    folder = argv[3];
    run(0);
    printf("%d processes\n", (2 << levels) - 1);
    return 0;
}
