// The image of a program. A helper does the work; it runs as the caller's child, so that the
// program finds the caller's directory, limits, terminal and signal mask.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(BPROC_CAPTURE_AT_ENTRY == (int)BPROC_LOCAL_CAPTURE_AT_ENTRY, "the protocol's");
_Static_assert(BPROC_CAPTURE_AT_EXEC == (int)BPROC_LOCAL_CAPTURE_AT_EXEC, "the protocol's");

// The daemon lends its executable, so no path has to be known. -1 or a descriptor.
static int request_helper(void) {
    struct bplib_channel channel;
    struct bplib_message answer;
    if (bplib_channel_open(&channel) < 0) return -1;
    int helper = -1;
    if (bplib_channel_queue(&channel, BPROC_LOCAL_HELPER_REQUEST, NULL, 0) == 0 &&
        bplib_channel_send(&channel, -1, BPLIB_ANSWER_MILLISECONDS) == 0 &&
        bplib_channel_expect(&channel, &answer, BPROC_LOCAL_HELPER, 0, "capture helper") == 0) {
        helper = channel.received;
        channel.received = -1;
        if (helper < 0) bplib_fail(EPROTO, "capture helper: the daemon sent no descriptor");
    }
    bplib_channel_close(&channel);
    return helper;
}

// In the child of vfork, which shares the caller's memory until it executes the helper: a handler
// of the caller must not run there, and what is ignored or blocked must reach the helper unchanged.
static void restore_signals(const sigset_t *mask) {
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) < 0) continue;
        bool has_handler = (action.sa_flags & SA_SIGINFO) ||
                           (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
        if (!has_handler) continue;
        action.sa_handler = SIG_DFL;
        action.sa_flags = 0;
        (void)sigaction(number, &action, NULL);
    }
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
}

// Starts the helper on its end of the socket pair. Its pid, or -1.
static pid_t start_helper(int helper, int socket) {
    char socket_option[32];
    (void)snprintf(socket_option, sizeof socket_option, "--socket=%d", socket);
    char *const argv[] = {(char *)"bproc-capture", (char *)"--helper=capture", socket_option, NULL};
    char *const envp[] = {NULL};
    sigset_t all, before;
    sigfillset(&all);
    volatile int exec_error = 0;
    if (pthread_sigmask(SIG_BLOCK, &all, &before) != 0) return bplib_fail(EINVAL, "signal mask");
    pid_t child = vfork();
    if (child == 0) {
        // The child has a descriptor table of its own: the caller's end stays close-on-exec.
        if (fcntl(socket, F_SETFD, 0) == 0) {
            restore_signals(&before);
            (void)execveat(helper, "", argv, envp, AT_EMPTY_PATH);
        }
        exec_error = errno;
        _exit(127);
    }
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child < 0) return bplib_fail(error, "capture helper: vfork: %s", bproc_strerror(error));
    if (exec_error) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
        return bplib_fail(exec_error, "capture helper: it cannot be executed: %s",
                          bproc_strerror(exec_error));
    }
    return child;
}

struct strings {
    uint32_t count;
    size_t byte_count;
};

static struct strings measure(char *const list[]) {
    struct strings strings = {0, 0};
    for (; list[strings.count]; strings.count++) {
        strings.byte_count += strlen(list[strings.count]) + 1;
        // Far beyond what a message carries: the count must not run on.
        if (strings.byte_count > BPROC_LOCAL_BODY_MAX) break;
    }
    return strings;
}

static void append_strings(struct bplib_buffer *buffer, char *const list[]) {
    for (; *list; list++) bplib_buffer_append(buffer, *list, strlen(*list) + 1);
}

static int queue_request(struct bplib_channel *channel, const char *command, char *const argv[],
                         char *const envp[], int point) {
    struct strings arguments = measure(argv), environment = measure(envp);
    size_t command_bytes = strlen(command);
    size_t tail_bytes = command_bytes + arguments.byte_count + environment.byte_count;
    if (command_bytes > BPROC_LOCAL_BODY_MAX ||
        tail_bytes > BPROC_LOCAL_BODY_MAX - sizeof(struct bproc_local_capture)) {
        return bplib_fail(E2BIG, "arguments and environment have more than %u bytes",
                          BPROC_LOCAL_BODY_MAX);
    }
    struct bproc_local_capture capture = {
        .point = (uint32_t)point,
        .argument_count = arguments.count,
        .environment_count = environment.count,
        .command_bytes = (uint32_t)command_bytes,
        .argument_bytes = (uint32_t)arguments.byte_count,
        .environment_bytes = (uint32_t)environment.byte_count,
    };
    struct bplib_buffer tail = {0};
    if (bplib_buffer_reserve(&tail, tail_bytes) < 0) return -1;
    bplib_buffer_append(&tail, command, command_bytes);
    append_strings(&tail, argv);
    append_strings(&tail, envp);
    struct iovec parts[] = {{&capture, sizeof capture}, {tail.bytes, tail.end}};
    int result = bplib_channel_queue(channel, BPROC_LOCAL_CAPTURE, parts, 2);
    bplib_buffer_free(&tail);
    return result;
}

// Sends the request and receives the image. A program may take its time in its constructors, so
// there is no limit here: the end of the helper is the end of the wait.
static int converse(struct bplib_channel *channel, const char *command,
                    struct bproc_capture_info *info) {
    struct bplib_message answer;
    struct bproc_local_captured captured;
    if (bplib_channel_send(channel, -1, -1) < 0 ||
        bplib_channel_receive(channel, &answer, -1) < 0) {
        if (errno == ECONNRESET) {
            return bplib_fail(EIO, "%s: the capture helper ended without an answer", command);
        }
        return -1;
    }
    if (answer.header.kind != BPROC_LOCAL_CAPTURED ||
        answer.header.body_bytes < sizeof captured) {
        return bplib_fail(EPROTO, "%s: the capture helper answered kind %u with %u bytes", command,
                          answer.header.kind, answer.header.body_bytes);
    }
    memcpy(&captured, answer.body, sizeof captured);
    if (captured.error) {
        char text[sizeof captured.reason + 1];
        bplib_copy_text(text, sizeof text, captured.reason, sizeof captured.reason);
        int error = captured.error > 0 ? captured.error : EIO;
        return bplib_fail(error, "%s: %s", command, *text ? text : bproc_strerror(error));
    }
    int image = channel->received;
    struct stat status;
    if (image < 0 || fstat(image, &status) < 0 || !S_ISREG(status.st_mode)) {
        return bplib_fail(EPROTO, "%s: the capture helper sent no image", command);
    }
    channel->received = -1;
    if (info) {
        *info = (struct bproc_capture_info){.image_bytes = captured.image_bytes,
                                            .capture_nanoseconds = captured.capture_nanoseconds};
    }
    return image;
}

int bproc_capture(const char *command, char *const argv[], char *const envp[], int point,
                  struct bproc_capture_info *info) {
    if (!command || !argv) return bplib_fail(EFAULT, "no command, or no arguments");
    if (point != BPROC_CAPTURE_AT_ENTRY && point != BPROC_CAPTURE_AT_EXEC) {
        return bplib_fail(EINVAL, "%d is no capture point", point);
    }
    if (!envp) envp = environ;
    int helper = request_helper();
    if (helper < 0) return -1;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        int error = errno;
        close(helper);
        return bplib_fail(error, "capture helper: socket pair: %s", bproc_strerror(error));
    }
    pid_t child = start_helper(helper, ends[1]);
    int error = errno;
    close(helper);
    close(ends[1]);
    errno = error;
    struct bplib_channel channel;
    int image = -1;
    if (child < 0) {
        close(ends[0]);
        errno = error;
        return -1;
    }
    if (bplib_channel_adopt(&channel, ends[0]) == 0) {
        if (queue_request(&channel, command, argv, envp, point) == 0) {
            image = converse(&channel, command, info);
        }
        error = errno;
        bplib_channel_close(&channel);
    }
    // The helper ends when its socket does. Another thread, or an ignored SIGCHLD, may have taken
    // its status already.
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
    errno = error;
    return image;
}
