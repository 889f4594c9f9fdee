// The image of a program. A helper does the work; it is started from the caller, so that the
// program finds the caller's directory, limits, terminal and signal mask.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(BPROC_CAPTURE_AT_ENTRY == (int)BPROC_LOCAL_CAPTURE_AT_ENTRY, "the protocol's");
_Static_assert(BPROC_CAPTURE_AT_EXEC == (int)BPROC_LOCAL_CAPTURE_AT_EXEC, "the protocol's");

enum { POINT_MASK = BPROC_CAPTURE_AT_ENTRY | BPROC_CAPTURE_AT_EXEC };

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
                         char *const envp[], int how, const struct bproc_local_network *network) {
    struct strings arguments = measure(argv), environment = measure(envp);
    size_t command_bytes = strlen(command);
    size_t tail_bytes = command_bytes + arguments.byte_count + environment.byte_count;
    if (command_bytes > BPROC_LOCAL_BODY_MAX ||
        tail_bytes > BPROC_LOCAL_BODY_MAX - sizeof(struct bproc_local_capture)) {
        return bplib_fail(E2BIG, "arguments and environment have more than %u bytes",
                          BPROC_LOCAL_BODY_MAX);
    }
    struct bproc_local_capture capture = {
        .point = (uint32_t)(how & POINT_MASK),
        .argument_count = arguments.count,
        .environment_count = environment.count,
        .command_bytes = (uint32_t)command_bytes,
        .argument_bytes = (uint32_t)arguments.byte_count,
        .environment_bytes = (uint32_t)environment.byte_count,
        .packing = {.compression = how & BPROC_CAPTURE_PACKED     ? BPROC_LOCAL_COMPRESSION_ALWAYS
                                   : how & BPROC_CAPTURE_UNPACKED ? BPROC_LOCAL_COMPRESSION_NEVER
                                                                  : BPROC_LOCAL_COMPRESSION_AUTO,
                    .network = *network},
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
    if (bplib_channel_send(channel, -1, -1) < 0 ||
        bplib_channel_receive(channel, &answer, -1) < 0) {
        if (errno == ECONNRESET) {
            return bplib_fail(EIO, "%s: the capture helper ended without an answer", command);
        }
        return -1;
    }
    return bplib_accept_image(command, &answer.header, answer.body, &channel->received[0], info);
}

// Starts the helper with the caller's own signal mask. Its pid, or -1.
static pid_t start_helper(const struct bplib_helper *helper, int socket) {
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_BLOCK, &all, &before) != 0) return bplib_fail(EINVAL, "signal mask");
    pid_t child = bplib_start_helper(helper, socket, &before);
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return child;
}

int bproc_capture(const char *command, char *const argv[], char *const envp[], int how,
                  struct bproc_capture_info *info) {
    if (!command || !argv) return bplib_fail(EFAULT, "no command, or no arguments");
    const int packing = BPROC_CAPTURE_PACKED | BPROC_CAPTURE_UNPACKED;
    if (how & ~(POINT_MASK | packing) || (how & packing) == packing) {
        return bplib_fail(EINVAL, "%#x is no way to take an image", (unsigned)how);
    }
    if (!envp) envp = environ;
    struct bplib_helper helper;
    if (bplib_request_helper(&helper) < 0) return -1;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        int error = errno;
        bplib_return_helper(&helper);
        return bplib_fail(error, "capture helper: socket pair: %s", bproc_strerror(error));
    }
    pid_t child = start_helper(&helper, ends[1]);
    int error = errno;
    bplib_return_helper(&helper);
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
        if (queue_request(&channel, command, argv, envp, how, &helper.network) == 0) {
            image = converse(&channel, command, info);
        }
        error = errno;
        bplib_channel_close(&channel);
    }
    errno = error;
    return image;
}
