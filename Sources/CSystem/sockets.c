#define _GNU_SOURCE
#include "include/sockets.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static long result(long value) { return value < 0 ? -errno : value; }

long bp_sockaddr_make(const struct bp_address *address, void *bytes) {
    if (address->family == 4) {
        struct sockaddr_in *in = bytes;
        memset(in, 0, sizeof *in);
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->octets, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = bytes;
    memset(in6, 0, sizeof *in6);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    memcpy(&in6->sin6_addr, address->octets, 16);
    return sizeof *in6;
}

static void address_from(const struct sockaddr_storage *storage, struct bp_address *address) {
    memset(address, 0, sizeof *address);
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)storage;
        address->family = 4;
        address->port = ntohs(in->sin_port);
        memcpy(address->octets, &in->sin_addr, 4);
    } else if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)storage;
        address->family = 6;
        address->port = ntohs(in6->sin6_port);
        memcpy(address->octets, &in6->sin6_addr, 16);
    }
}

long bp_tcp_socket(uint8_t family) {
    return result(
        socket(family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/* A daemon that has been killed is gone before its ring is, which lets go of its sockets some
   milliseconds later: whoever is started in its place waits so long for its address. */
enum { ADDRESS_NAPS = 50, ADDRESS_NAP_MILLISECONDS = 20 };

/* Naps if another attempt is worth it. */
static int waits_for_address(long outcome, int *naps) {
    if (outcome != -EADDRINUSE || *naps == ADDRESS_NAPS) return 0;
    (*naps)++;
    (void)poll(NULL, 0, ADDRESS_NAP_MILLISECONDS);
    return 1;
}

long bp_bind(int fd, const struct bp_address *address) {
    struct sockaddr_storage storage;
    int one = 1, naps = 0;
    long length = bp_sockaddr_make(address, &storage), bound;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    do {
        bound = result(bind(fd, (void *)&storage, (socklen_t)length));
    } while (waits_for_address(bound, &naps));
    return bound;
}

long bp_listen(int fd, int backlog) { return result(listen(fd, backlog)); }

long bp_connect_nonblocking(int fd, const struct bp_address *address) {
    struct sockaddr_storage storage;
    long length = bp_sockaddr_make(address, &storage);
    return result(connect(fd, (void *)&storage, (socklen_t)length));
}

long bp_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -errno;
    return -error;
}

long bp_peer_address(int fd, struct bp_address *address) {
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof storage;
    if (getpeername(fd, (void *)&storage, &length) < 0) return -errno;
    address_from(&storage, address);
    return 0;
}

long bp_local_address(int fd, struct bp_address *address) {
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof storage;
    if (getsockname(fd, (void *)&storage, &length) < 0) return -errno;
    address_from(&storage, address);
    return 0;
}

long bp_set_no_delay(int fd) {
    int one = 1;
    return result(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
}

void bp_set_buffer_sizes(int fd, int send_bytes, int receive_bytes) {
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof send_bytes) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof receive_bytes) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
}

long bp_set_low_water(int fd, int byte_count) {
    return result(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &byte_count, sizeof byte_count));
}

long bp_set_congestion_control(int fd, const char *name) {
    return result(
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)));
}

long bp_accept(int fd) { return result(accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)); }

long bp_shutdown(int fd) { return result(shutdown(fd, SHUT_RDWR)); }

long bp_send(int fd, const void *bytes, size_t count, int more) {
    return result(
        send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0)));
}

long bp_receive(int fd, void *bytes, size_t count) {
    return result(recv(fd, bytes, count, MSG_DONTWAIT));
}

long bp_sendfile(int out_fd, int in_fd, uint64_t offset, size_t count) {
    off_t position = (off_t)offset;
    return result(sendfile(out_fd, in_fd, &position, count));
}

/* "@" and a name: an address without a file, which is reachable from any root directory. */
static int is_abstract(const char *path) { return path[0] == '@'; }

static long unix_address(const char *path, struct sockaddr_un *address) {
    size_t length = strlen(path);
    memset(address, 0, sizeof *address);
    if (length == 0 || length >= sizeof address->sun_path) return -ENAMETOOLONG;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    if (!is_abstract(path)) return (long)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (length == 1) return -EINVAL;
    address->sun_path[0] = 0;
    return (long)(offsetof(struct sockaddr_un, sun_path) + length);
}

long bp_unix_connect(const char *path) {
    struct sockaddr_un address;
    long length = unix_address(path, &address);
    if (length < 0) return length;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (void *)&address, (socklen_t)length) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* Takes a dead daemon's socket file away, so that its path can be bound again. */
static long make_way(const char *path) {
    /* A socket file that nobody answers on is left over from a daemon that died. */
    long other = bp_unix_connect(path);
    if (other >= 0) {
        close((int)other);
        return -EADDRINUSE;
    }
    /* A plain file refuses connections too, and is not ours to remove. */
    struct stat status;
    if (other == -ECONNREFUSED && lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
        unlink(path);
    return 0;
}

static long unix_listen(const char *path, unsigned mode) {
    struct sockaddr_un address;
    long length = unix_address(path, &address);
    if (length < 0) return length;
    int abstract = is_abstract(path);
    if (!abstract) {
        long way = make_way(path);
        if (way < 0) return way;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (bind(fd, (void *)&address, (socklen_t)length) < 0 ||
        (!abstract && chmod(path, mode) < 0) || listen(fd, 128) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

long bp_unix_listen(const char *path, unsigned mode) {
    long listening;
    int naps = 0;
    do {
        listening = unix_listen(path, mode);
    } while (waits_for_address(listening, &naps));
    return listening;
}

long bp_unix_pair(int *fds) {
    return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
}

long bp_peer_credentials(int fd, struct bp_credentials *credentials) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
    credentials->pid = peer.pid;
    credentials->uid = peer.uid;
    credentials->gid = peer.gid;
    return 0;
}

long bp_peer_groups(int fd, uint32_t *groups, size_t capacity) {
    socklen_t length = (socklen_t)(capacity * sizeof *groups);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) return -errno;
    return (long)(length / sizeof *groups);
}

long bp_send_descriptor(int fd, const void *bytes, size_t count, int descriptor) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    return result(sendmsg(fd, &message, MSG_NOSIGNAL));
}

long bp_receive_descriptor(int fd, void *bytes, size_t count, int *descriptor) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * 16)];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    *descriptor = -1;
    ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (received < 0) return -errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < fds; index++) {
            int fd_received;
            memcpy(&fd_received, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
            if (*descriptor < 0)
                *descriptor = fd_received;
            else
                close(fd_received);
        }
    }
    return received;
}
