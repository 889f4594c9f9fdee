// The beginning of the role --helper=ghosts, up to the word that the ghosts are made: before main
// and before Swift's runtime is ready, which takes as long as all of this and which the library
// does not have to wait for.
#define _GNU_SOURCE
#include "include/ghosts.h"

#include "bproc_local.h"
#include "group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

// As many as a launch has ranks.
enum { GHOSTS_MOST = 1 << 20, FAILED = 1 };

static struct bp_ghost_beginning beginning;

const struct bp_ghost_beginning *bp_ghost_begun(void) {
    return beginning.group ? &beginning : NULL;
}

// Of the words that the library executes a helper with; -1: this process has another role.
static int socket_of(int count, char **words) {
    static const char role[] = "--helper=ghosts", option[] = "--socket=";
    if (count != 3 || strcmp(words[1], role) || strncmp(words[2], option, sizeof option - 1)) {
        return -1;
    }
    char *end;
    const char *digits = words[2] + sizeof option - 1;
    long number = strtol(digits, &end, 10);
    return end > digits && !*end && number >= 0 && number < 1 << 30 ? (int)number : -1;
}

static int receive(int socket, void *bytes, size_t byte_count) {
    for (size_t done = 0; done < byte_count;) {
        ssize_t count = read(socket, (char *)bytes + done, byte_count - done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return 0;
        done += (size_t)count;
    }
    return 1;
}

static int receive_request(int socket, struct bproc_local_ghosts *request) {
    struct bproc_local_header header;
    return receive(socket, &header, sizeof header) && header.magic == BPROC_LOCAL_MAGIC &&
           header.version == BPROC_LOCAL_VERSION && header.kind == BPROC_LOCAL_GHOSTS &&
           header.body_bytes == sizeof *request && receive(socket, request, sizeof *request) &&
           request->count > 0 && request->count <= GHOSTS_MOST;
}

// A library that is gone is heard of later.
static void send_all(int socket, struct iovec *part, int attachment) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = part, .msg_iovlen = 1};
    if (attachment >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &attachment, sizeof attachment);
    }
    while (part->iov_len > 0) {
        ssize_t count = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return;
        part->iov_base = (char *)part->iov_base + count;
        part->iov_len -= (size_t)count;
        message.msg_control = NULL;
        message.msg_controllen = 0;
    }
}

struct answer {
    struct bproc_local_header header;
    struct bproc_local_ghosts_made made;
    int32_t pids[];
};

// 0 or an errno.
static int tell(int socket, const struct bp_ghost_group *group, uint32_t count, int error,
                int attachment) {
    size_t byte_count = sizeof(struct answer) + count * sizeof(int32_t);
    struct answer *answer = malloc(byte_count);
    if (!answer) return ENOMEM;
    *answer = (struct answer){
        .header = {.magic = BPROC_LOCAL_MAGIC,
                   .version = BPROC_LOCAL_VERSION,
                   .kind = BPROC_LOCAL_GHOSTS_MADE,
                   .body_bytes = (uint32_t)(byte_count - sizeof answer->header)},
        .made = {.error = error, .made_count = count}};
    for (uint32_t i = 0; i < count; i++) answer->pids[i] = bp_ghost_pid(group, i);
    struct iovec part = {answer, byte_count};
    send_all(socket, &part, attachment);
    free(answer);
    return 0;
}

static _Noreturn void fail(int socket, int error) {
    (void)tell(socket, NULL, 0, error, -1);
    _exit(FAILED);
}

// Traces the ghosts, but for the caller, which is traced when it has moved. 0 or an errno.
static int trace(struct bp_ghost_group *group, uint32_t count) {
    for (uint32_t i = 0; i < count && !group->own; i++) {
        long result = bp_ghost_seize(group, i);
        if (result == -ESRCH) group->ghosts[i].has_ended = 1;
        else if (result < 0) return (int)-result;
    }
    return 0;
}

// In the server.
static void tell_of_ghosts(struct bp_ghost_group *group, int socket) {
    int error = 0;
    uint32_t count = bp_ghost_await(group, &error);
    int failure = trace(group, count);
    int shared = group->own && count > 0 && !failure ? bp_ghost_share_own(group) : -1;
    if (group->own && count > 0 && shared < 0 && !failure) failure = -shared;
    if (!failure) failure = tell(socket, group, count, error, shared);
    if (failure) fail(socket, failure);
    if (shared >= 0) (void)close(shared);
    beginning = (struct bp_ghost_beginning){
        .group = group, .socket = socket, .count = count, .is_own = group->own != 0};
}

// The C library gives constructors what main gets.
__attribute__((constructor(101))) static void begin(int word_count, char **words) {
    int socket = socket_of(word_count, words);
    struct bproc_local_ghosts request;
    struct ucred caller;
    socklen_t length = sizeof caller;
    if (socket < 0) return;
    (void)fcntl(socket, F_SETFD, FD_CLOEXEC);
    if (!receive_request(socket, &request)) _exit(FAILED);
    request.name[sizeof request.name - 1] = 0;
    // Everything that is mapped here is the group's to the end of all its processes.
    struct bp_ghost_group *group = bp_ghost_map(request.count, request.name);
    if (!group) fail(socket, ENOMEM);
    if (request.count == 1 && (request.flags & BPROC_LOCAL_GHOSTS_SELF)) {
        // Who asks is the ghost.
        if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &caller, &length) < 0) _exit(FAILED);
        bp_ghost_be_own(group, caller.pid);
    }
    long split = bp_ghost_split(group);
    if (split < 0) fail(socket, (int)-split);
    int kept = bp_ghost_settle(socket);
    if (kept < 0) _exit(FAILED);
    tell_of_ghosts(group, kept);
}
