/* The I/O set-up of libbproc as its users meet it, on the nodes 0 and 1 of one machine:
 *     descriptors files|failures|none|refusals|delayed|stuck|hold FOLDER */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (%s, %s)\n", __FILE__, __LINE__, #condition,                \
                    strerror(errno), bproc_reason());                                              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int nodes[2] = {0, 1};
static const char *folder;

static struct bproc_io_t file(int fd, const char *name, int flags, long offset) {
    struct bproc_io_t io;
    memset(&io, 0, sizeof io);
    io.fd = fd;
    io.type = BPROC_IO_FILE;
    io.d.file.flags = flags;
    io.d.file.mode = 0640;
    io.d.file.offset = offset;
    snprintf(io.d.file.name, sizeof io.d.file.name, "%s/%s", folder, name);
    return io;
}

/* A connection to this process, wherever the rank runs. */
static struct bproc_io_t socket_to(int fd, int port) {
    struct sockaddr_in address;
    struct bproc_io_t io;
    memset(&io, 0, sizeof io);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((unsigned short)port);
    io.fd = fd;
    io.type = BPROC_IO_SOCKET;
    io.flags = BPROC_IO_SEND_INFO;
    memcpy(&io.d.addr, &address, sizeof address);
    return io;
}

static int listener(int *port) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int start(const char *script, struct bproc_io_t *io, int count, int *pids) {
    char *arguments[4];
    arguments[0] = (char *)"sh";
    arguments[1] = (char *)"-c";
    arguments[2] = (char *)script;
    arguments[3] = NULL;
    return bproc_vexecmove_io(2, nodes, pids, io, count, "/bin/sh", arguments, NULL);
}

static long content(const char *name, char *text, size_t size) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY);
    long count = fd < 0 ? -1 : (long)read(fd, text, size - 1);
    if (fd >= 0) close(fd);
    text[count < 0 ? 0 : count] = 0;
    return count;
}

/* Files with flags, mode and offset; a socket to wherever the caller is. */
static void files(void) {
    char text[256], path[512];
    int port, pids[2];
    int door = listener(&port);
    snprintf(path, sizeof path, "%s/input", folder);
    int input = open(path, O_WRONLY | O_CREAT, 0644);
    CHECK(write(input, "0123456789", 10) == 10);
    close(input);
    struct bproc_io_t io[3];
    io[0] = file(0, "input", O_RDONLY, 4);
    io[1] = file(1, "output", O_WRONLY | O_CREAT | O_APPEND, 0);
    io[2] = socket_to(7, port);
    CHECK(start("printf '%s\\n' \"$(cat)\"; echo here >&7", io, 3, pids) == 2);
    CHECK(pids[0] > 0 && pids[1] > 0);
    int seen = 0;
    for (int i = 0; i < 2; i++) {
        int words[2] = {0, 0};
        size_t length = 0;
        ssize_t count;
        int peer = accept(door, NULL, NULL);
        CHECK(peer >= 0);
        CHECK(recv(peer, words, sizeof words, MSG_WAITALL) == (ssize_t)sizeof words);
        CHECK(words[1] == 7 && (words[0] == pids[0] || words[0] == pids[1]));
        seen |= words[0] == pids[0] ? 1 : 2;
        while ((count = read(peer, text + length, sizeof text - 1 - length)) > 0)
            length += (size_t)count;
        text[length] = 0;
        CHECK(strcmp(text, "here\n") == 0);
        close(peer);
    }
    CHECK(seen == 3);
    /* The connections have ended, and the files were written before. */
    CHECK(content("output", text, sizeof text) == 14);
    CHECK(strcmp(text, "456789\n456789\n") == 0);
    struct stat status;
    snprintf(path, sizeof path, "%s/output", folder);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0640);
}

static void failures(void) {
    int pids[2], port;
    struct bproc_io_t io = file(0, "missing", O_RDONLY, 0);
    CHECK(start("exit 0", &io, 1, pids) == 2);
    CHECK(pids[0] == -ENOENT && pids[1] == -ENOENT);
    io = file(0, "one", O_WRONLY | O_CREAT | O_EXCL, 0);
    CHECK(start("exit 0", &io, 1, pids) == 2);
    /* A rank that fails, fails alone. */
    CHECK((pids[0] > 0 && pids[1] == -EEXIST) || (pids[1] > 0 && pids[0] == -EEXIST));
    close(listener(&port));
    io = socket_to(3, port);
    CHECK(start("exit 0", &io, 1, pids) == 2);
    CHECK(pids[0] == -ECONNREFUSED && pids[1] == -ECONNREFUSED);
    io = file(1, "one", O_WRONLY, -4);
    CHECK(start("exit 0", &io, 1, pids) == 2);
    CHECK(pids[0] == -EINVAL && pids[1] == -EINVAL);
    /* A name for two descriptors and a number far up. */
    io = file(900, "one", O_RDONLY, 0);
    CHECK(start("exit 0", &io, 1, pids) == 2 && pids[0] > 0 && pids[1] > 0);
}

static void refusals(void) {
    int pids[2];
    struct bproc_io_t io[17];
    for (int i = 0; i < 17; i++) io[i] = file(i, "any", O_RDONLY, 0);
    errno = 0;
    CHECK(start("exit 0", io, 17, pids) == -1 && errno == EINVAL);
    CHECK(start("exit 0", io, -2, pids) == -1 && errno == EINVAL);
    CHECK(start("exit 0", NULL, 1, pids) == -1 && errno == EFAULT);
    io[0].type = BPROC_IO_MEMFILE;
    CHECK(start("exit 0", io, 1, pids) == -1 && errno == EPERM);
    io[0].type = 9;
    CHECK(start("exit 0", io, 1, pids) == -1 && errno == EINVAL);
}

/* Runs a job to its end; the exit statuses, as waitpid reports them. */
static void run_job(const char *script, struct bproc_io_t *io, int count, unsigned flags,
                    int *statuses) {
    char *arguments[4];
    arguments[0] = (char *)"sh";
    arguments[1] = (char *)"-c";
    arguments[2] = (char *)script;
    arguments[3] = NULL;
    struct bproc_job_request request;
    struct bproc_job_event event;
    bproc_job_t *job;
    memset(&request, 0, sizeof request);
    request.struct_bytes = sizeof request;
    request.image = bproc_capture("/bin/sh", arguments, NULL, BPROC_CAPTURE_AT_ENTRY, NULL);
    CHECK(request.image >= 0);
    request.rank_count = 2;
    request.nodes = nodes;
    request.command = "/bin/sh";
    request.io = io;
    request.io_count = count;
    request.flags = flags;
    CHECK(bproc_job_launch(&request, &job) == 0);
    statuses[0] = statuses[1] = -1;
    memset(&event, 0, sizeof event);
    while (event.kind != BPROC_EVENT_END) {
        struct pollfd entry;
        if (bproc_job_next(job, &event) == 1) {
            if (event.kind == BPROC_EVENT_EXIT) statuses[event.rank] = event.status;
            CHECK(event.kind != BPROC_EVENT_FAILURE);
            continue;
        }
        memset(&event, 0, sizeof event);
        entry.fd = bproc_job_descriptor(job);
        entry.events = bproc_job_poll_events(job);
        CHECK(poll(&entry, 1, 50000) == 1);
    }
    CHECK(event.error == 0);
    bproc_job_close(job);
}

/* No list: no descriptor at all. */
static void none(void) {
    int statuses[2];
    run_job("for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$n ] && exit 9; done; exit 3",
            NULL, 0, 0, statuses);
    CHECK(WEXITSTATUS(statuses[0]) == 3 && WEXITSTATUS(statuses[1]) == 3);
}

/* Both are placed before either opens the file: one of them then cannot. */
static void delayed(void) {
    int statuses[2], port;
    int door = listener(&port);
    struct bproc_io_t io[2];
    io[0] = socket_to(4, port);
    io[0].flags |= BPROC_IO_DELAY;
    io[1] = file(1, "delayed", O_WRONLY | O_CREAT | O_EXCL, 0);
    io[1].flags = BPROC_IO_DELAY;
    run_job("echo one; exit 5", io, 2, 0, statuses);
    int first = WEXITSTATUS(statuses[0]), second = WEXITSTATUS(statuses[1]);
    CHECK((first == 5 && second == EEXIST) || (second == 5 && first == EEXIST));
    for (int i = 0; i < 2; i++) {
        int words[2] = {0, 0};
        int peer = accept(door, NULL, NULL);
        CHECK(recv(peer, words, sizeof words, MSG_WAITALL) == (ssize_t)sizeof words);
        CHECK(words[1] == 4);
        close(peer);
    }
}

/* On node 0: a pipe that nobody writes to. */
static void stuck(void) {
    int pids[2];
    struct bproc_io_t io = file(0, "pipe", O_RDONLY, 0);
    nodes[1] = 99;
    (void)start("exit 0", &io, 1, pids);
    CHECK(!"answered");
}

static void hold(void) {
    char script[600];
    int statuses[2];
    snprintf(script, sizeof script, "echo started >> %s/started", folder);
    run_job(script, NULL, BPROC_JOB_FORWARD, BPROC_JOB_HOLD | BPROC_JOB_NULL_INPUT, statuses);
    CHECK(statuses[0] == 0 && statuses[1] == 0);
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    folder = arguments[2];
    umask(0);
    const char *what = arguments[1];
    if (strcmp(what, "files") == 0) files();
    else if (strcmp(what, "failures") == 0) failures();
    else if (strcmp(what, "refusals") == 0) refusals();
    else if (strcmp(what, "none") == 0) none();
    else if (strcmp(what, "delayed") == 0) delayed();
    else if (strcmp(what, "stuck") == 0) stuck();
    else if (strcmp(what, "hold") == 0) hold();
    else return 2;
    puts("well");
    return 0;
}
