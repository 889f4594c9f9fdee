// Messages over a Unix socket, and the way to the daemon.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char system_socket[] = "/run/bproc/socket";
// Most connections are about one short answer; a job's grow with what comes.
enum { READ_BYTES_LEAST = 4 << 10, READ_BYTES_MOST = 256 << 10 };

int bplib_channel_adopt(struct bplib_channel *channel, int descriptor) {
    *channel = (struct bplib_channel){
        .descriptor = descriptor, .received = {-1, -1}, .read_bytes = READ_BYTES_LEAST};
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0) {
        int error = errno;
        bplib_channel_close(channel);
        return bplib_fail(error, "socket: %s", bproc_strerror(error));
    }
    return 0;
}

void bplib_channel_close(struct bplib_channel *channel) {
    int error = errno;
    if (channel->descriptor >= 0) close(channel->descriptor);
    for (int i = 0; i < 2; i++) {
        if (channel->received[i] >= 0) close(channel->received[i]);
        channel->received[i] = -1;
    }
    bplib_buffer_free(&channel->in);
    bplib_buffer_free(&channel->out);
    channel->descriptor = -1;
    errno = error;
}

int bplib_fail_lost(int descriptor, const char *consequence) {
    struct sockaddr_un peer;
    socklen_t bytes = sizeof peer;
    char name[sizeof peer.sun_path + 1] = "";
    size_t name_bytes = 0;
    // The kernel knows the name that was connected to, whoever has gone meanwhile.
    if (getpeername(descriptor, (struct sockaddr *)&peer, &bytes) == 0 &&
        bytes > offsetof(struct sockaddr_un, sun_path)) {
        name_bytes = bytes - offsetof(struct sockaddr_un, sun_path);
        if (name_bytes > sizeof peer.sun_path) name_bytes = sizeof peer.sun_path;
        if (!*peer.sun_path) *peer.sun_path = '@';
        bplib_copy_text(name, sizeof name, peer.sun_path, name_bytes);
    }
    // A helper is at the other end of a pair of sockets without names.
    if (!*name) return bplib_fail(ECONNRESET, "the helper has ended%s", consequence);
    return bplib_fail(ECONNRESET, "the connection to the daemon at %s is lost%s", name,
                      consequence);
}

int bplib_channel_wait(const struct bplib_channel *channel, short events,
                       int timeout_milliseconds) {
    struct pollfd entry = {.fd = channel->descriptor, .events = events};
    for (;;) {
        int count = poll(&entry, 1, timeout_milliseconds);
        if (count >= 0) return count;
        // The caller's handler has run; the time starts anew, which only makes the wait longer.
        if (errno != EINTR) return bplib_fail(errno, "poll: %s", bproc_strerror(errno));
    }
}

int bplib_channel_queue(struct bplib_channel *channel, uint16_t kind, const struct iovec *parts,
                        int part_count) {
    size_t body_bytes = 0;
    for (int i = 0; i < part_count; i++) {
        if (parts[i].iov_len > BPROC_LOCAL_BODY_MAX - body_bytes) {
            return bplib_fail(E2BIG, "a request of more than %u bytes", BPROC_LOCAL_BODY_MAX);
        }
        body_bytes += parts[i].iov_len;
    }
    struct bproc_local_header header = {
        .magic = BPROC_LOCAL_MAGIC,
        .version = BPROC_LOCAL_VERSION,
        .kind = kind,
        .body_bytes = (uint32_t)body_bytes,
    };
    if (bplib_buffer_reserve(&channel->out, sizeof header + body_bytes) < 0) return -1;
    bplib_buffer_append(&channel->out, &header, sizeof header);
    for (int i = 0; i < part_count; i++) {
        bplib_buffer_append(&channel->out, parts[i].iov_base, parts[i].iov_len);
    }
    return 0;
}

// One sendmsg. 1: something went; 0: no room now; -1.
static int send_some(struct bplib_channel *channel, int attachment) {
    struct bplib_buffer *out = &channel->out;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control = {{0}};
    struct iovec part = {.iov_base = out->bytes + out->start, .iov_len = out->end - out->start};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (attachment >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &attachment, sizeof(int));
    }
    for (;;) {
        ssize_t count = sendmsg(channel->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0) {
            out->start += (size_t)count;
            return 1;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        if (errno == EPIPE || errno == ECONNRESET) {
            return bplib_fail_lost(channel->descriptor, "");
        }
        if (errno != EINTR) return bplib_fail(errno, "sendmsg: %s", bproc_strerror(errno));
    }
}

int bplib_channel_flush(struct bplib_channel *channel) {
    while (channel->out.start < channel->out.end) {
        int sent = send_some(channel, -1);
        if (sent <= 0) return sent;
    }
    return 0;
}

// A daemon that refuses says why before it hangs up, which the sender notices first.
static int fail_as_refused(struct bplib_channel *channel) {
    struct bplib_message message;
    while (bplib_channel_read(channel) > 0) continue;
    if (bplib_channel_peek(channel, 0, &message) == 1 &&
        message.header.kind == BPROC_LOCAL_REFUSED &&
        message.header.body_bytes >= sizeof(struct bproc_local_refused)) {
        struct bproc_local_refused refused;
        char text[sizeof refused.reason + 1];
        memcpy(&refused, message.body, sizeof refused);
        bplib_copy_text(text, sizeof text, refused.reason, sizeof refused.reason);
        return bplib_fail(refused.error > 0 ? refused.error : EIO, "refused: %s", text);
    }
    return bplib_fail_lost(channel->descriptor, "");
}

int bplib_channel_send(struct bplib_channel *channel, int attachment, int timeout_milliseconds) {
    while (channel->out.start < channel->out.end) {
        int sent = send_some(channel, attachment);
        if (sent < 0) return errno == ECONNRESET ? fail_as_refused(channel) : -1;
        if (sent > 0) {
            attachment = -1;
            continue;
        }
        int ready = bplib_channel_wait(channel, POLLOUT, timeout_milliseconds);
        if (ready < 0) return -1;
        if (ready == 0) return bplib_fail(ETIMEDOUT, "the other side takes no data");
    }
    return 0;
}

// Keeps the first two descriptors of a message and closes all others.
static void take_descriptors(struct bplib_channel *channel, struct msghdr *message) {
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
            if (channel->received[0] < 0) {
                channel->received[0] = descriptor;
            } else if (channel->received[1] < 0) {
                channel->received[1] = descriptor;
            } else {
                close(descriptor);
            }
        }
    }
}

int bplib_channel_read(struct bplib_channel *channel) {
    struct bplib_buffer *in = &channel->in;
    if (channel->ended) return 0;
    if (bplib_buffer_reserve(in, channel->read_bytes) < 0) return -1;
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr alignment;
    } control;
    struct iovec part = {.iov_base = in->bytes + in->end, .iov_len = in->capacity - in->end};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    for (;;) {
        ssize_t count = recvmsg(channel->descriptor, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (count > 0) {
            in->end += (size_t)count;
            if (in->end == in->capacity && channel->read_bytes < READ_BYTES_MOST) {
                channel->read_bytes *= 2;
            }
            take_descriptors(channel, &message);
            return 1;
        }
        if (count == 0 || errno == ECONNRESET) {
            channel->ended = true;
            return 0;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        if (errno != EINTR) return bplib_fail(errno, "recvmsg: %s", bproc_strerror(errno));
    }
}

int bplib_channel_peek(const struct bplib_channel *channel, size_t offset,
                       struct bplib_message *message) {
    const struct bplib_buffer *in = &channel->in;
    size_t available = in->end - in->start;
    if (offset > available || available - offset < sizeof message->header) return 0;
    const unsigned char *bytes = in->bytes + in->start + offset;
    memcpy(&message->header, bytes, sizeof message->header);
    const struct bproc_local_header *header = &message->header;
    if (header->magic != BPROC_LOCAL_MAGIC) {
        return bplib_fail(EPROTO, "not a message of bproc: it starts with %08x", header->magic);
    }
    if (header->version != BPROC_LOCAL_VERSION) {
        return bplib_fail(EPROTO, "local protocol: version %u there, %u here", header->version,
                          BPROC_LOCAL_VERSION);
    }
    if (header->body_bytes > BPROC_LOCAL_BODY_MAX) {
        return bplib_fail(EPROTO, "a message of %u bytes; %u are the most", header->body_bytes,
                          BPROC_LOCAL_BODY_MAX);
    }
    if (available - offset - sizeof *header < header->body_bytes) return 0;
    message->body = bytes + sizeof *header;
    return 1;
}

int bplib_channel_receive(struct bplib_channel *channel, struct bplib_message *message,
                          int timeout_milliseconds) {
    for (;;) {
        int found = bplib_channel_peek(channel, 0, message);
        if (found < 0) return -1;
        if (found > 0) {
            channel->in.start += sizeof message->header + message->header.body_bytes;
            return 0;
        }
        int came = bplib_channel_read(channel);
        if (came < 0) return -1;
        if (came > 0) continue;
        if (channel->ended) {
            return bplib_fail_lost(channel->descriptor, channel->in.start == channel->in.end
                                                            ? " before it has answered"
                                                            : " inside a message");
        }
        int ready = bplib_channel_wait(channel, POLLIN, timeout_milliseconds);
        if (ready < 0) return -1;
        if (ready == 0) {
            return bplib_fail(ETIMEDOUT, "no answer in %d s", timeout_milliseconds / 1000);
        }
    }
}

int bplib_channel_expect(struct bplib_channel *channel, struct bplib_message *message,
                         uint16_t kind, size_t byte_count, const char *what) {
    if (bplib_channel_receive(channel, message, BPLIB_ANSWER_MILLISECONDS) < 0) {
        // Which step it was tells more than the connection's end alone.
        char cause[256];
        bplib_copy_text(cause, sizeof cause, bproc_reason(), 256);
        return bplib_fail(errno, "%s: %s", what, cause);
    }
    if (message->header.kind == BPROC_LOCAL_REFUSED &&
        message->header.body_bytes >= sizeof(struct bproc_local_refused)) {
        struct bproc_local_refused refused;
        char text[sizeof refused.reason + 1];
        memcpy(&refused, message->body, sizeof refused);
        bplib_copy_text(text, sizeof text, refused.reason, sizeof refused.reason);
        return bplib_fail(refused.error > 0 ? refused.error : EIO, "%s refused: %s", what, text);
    }
    if (message->header.kind != kind || message->header.body_bytes < byte_count) {
        return bplib_fail(EPROTO, "%s: an answer of kind %u with %u bytes, not %u with %zu", what,
                          message->header.kind, message->header.body_bytes, kind, byte_count);
    }
    return 0;
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) {
        return bplib_fail(ENAMETOOLONG, "%s: longer than a socket's name may be (%zu bytes)", path,
                          sizeof address.sun_path - 1);
    }
    memcpy(address.sun_path, path, length);
    socklen_t address_bytes = sizeof address;
    if (*path == '@') {
        // An abstract name: a zero byte in the place of the @, and no byte behind it.
        address.sun_path[0] = 0;
        address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    }
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return bplib_fail(errno, "socket: %s", bproc_strerror(errno));
    // On a Unix socket an interrupted connect leaves nothing under way: it is simply asked again.
    int result;
    do {
        result = connect(descriptor, (struct sockaddr *)&address, address_bytes);
    } while (result < 0 && errno == EINTR);
    if (result == 0) return descriptor;
    int error = errno;
    close(descriptor);
    if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR) {
        return bplib_fail(EBUSY, "no daemon answers at %s: %s", path, bproc_strerror(error));
    }
    return bplib_fail(error, "%s: %s", path, bproc_strerror(error));
}

static int connect_to_daemon(void) {
    // A restored process goes by what it was told when it came here, never by what it inherited.
    if (bplib_has_place()) {
        if (*bplib_place.socket) return connect_to(bplib_place.socket);
        return bplib_fail(EBUSY, "the daemon of node %d has no socket", bplib_place.node);
    }
    // Nor does one that was executed as a file go by what it inherited where it was taken.
    if (bplib_place.magic == BPROC_LOCAL_PLACE_MAGIC && *bplib_place.socket) {
        return connect_to(bplib_place.socket);
    }
    // A program with more rights than its user must not talk to a daemon of the user's choice.
    const char *path = secure_getenv("BPROC_SOCKET");
    if (path && *path) return connect_to(path);
    const char *directory = secure_getenv("XDG_RUNTIME_DIR");
    char own[4096];
    if (directory && *directory == '/' &&
        snprintf(own, sizeof own, "%s/bproc/socket", directory) < (int)sizeof own) {
        int descriptor = connect_to(own);
        if (descriptor >= 0 || (errno != EBUSY && errno != ENAMETOOLONG)) return descriptor;
    }
    return connect_to(system_socket);
}

int bplib_channel_connect(struct bplib_channel *channel) {
    *channel = (struct bplib_channel){.descriptor = -1, .received = {-1, -1}};
    int descriptor = connect_to_daemon();
    if (descriptor < 0) return -1;
    if (bplib_channel_adopt(channel, descriptor) < 0) return -1;
    struct bproc_local_hello hello = {.protocol_version = BPROC_LOCAL_VERSION,
                                      .architecture = BPROC_ARCH_X86_64,
                                      .version = "bproc"};
    struct iovec part = {.iov_base = &hello, .iov_len = sizeof hello};
    if (bplib_channel_queue(channel, BPROC_LOCAL_HELLO, &part, 1) == 0) return 0;
    bplib_channel_close(channel);
    return -1;
}

int bplib_channel_greet(struct bplib_channel *channel) {
    struct bplib_message answer;
    if (bplib_channel_send(channel, -1, BPLIB_ANSWER_MILLISECONDS) < 0 ||
        bplib_channel_expect(channel, &answer, BPROC_LOCAL_WELCOME, sizeof channel->welcome,
                             "hello") < 0) {
        bplib_channel_close(channel);
        return -1;
    }
    memcpy(&channel->welcome, answer.body, sizeof channel->welcome);
    if (channel->welcome.protocol_version != BPROC_LOCAL_VERSION) {
        bplib_fail(EPROTO, "local protocol: the daemon speaks version %u, this library %u",
                   channel->welcome.protocol_version, BPROC_LOCAL_VERSION);
        bplib_channel_close(channel);
        return -1;
    }
    return 0;
}

int bplib_channel_open(struct bplib_channel *channel) {
    return bplib_channel_connect(channel) < 0 ? -1 : bplib_channel_greet(channel);
}
