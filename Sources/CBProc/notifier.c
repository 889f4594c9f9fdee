// The descriptor that tells of changes of the table of nodes.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(sizeof(struct bproc_local_listed) == sizeof(struct bproc_node_info_t),
               "an entry that a program reads is a bproc_node_info_t");

// Reads exactly this many bytes: what follows them belongs to whoever reads next. 0 or -1.
static int read_exactly(int descriptor, void *bytes, size_t byte_count) {
    unsigned char *place = bytes;
    while (byte_count > 0) {
        ssize_t count = recv(descriptor, place, byte_count, MSG_DONTWAIT);
        if (count > 0) {
            place += count;
            byte_count -= (size_t)count;
            continue;
        }
        if (count == 0 || errno == ECONNRESET) return bplib_fail_lost(descriptor, "");
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            return bplib_fail(errno, "notifier: %s", bproc_strerror(errno));
        }
        struct pollfd entry = {.fd = descriptor, .events = POLLIN};
        int ready = poll(&entry, 1, BPLIB_ANSWER_MILLISECONDS);
        if (ready == 0) return bplib_fail(ETIMEDOUT, "no answer from the daemon");
        if (ready < 0 && errno != EINTR) {
            return bplib_fail(errno, "poll: %s", bproc_strerror(errno));
        }
    }
    return 0;
}

static int send_header(int descriptor, uint16_t kind, uint32_t request) {
    struct bproc_local_header header = {.magic = BPROC_LOCAL_MAGIC,
                                        .version = BPROC_LOCAL_VERSION,
                                        .kind = kind,
                                        .request = request};
    ssize_t count;
    do {
        // So few bytes go as a whole or not at all.
        count = send(descriptor, &header, sizeof header, MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    if (count == (ssize_t)sizeof header) return 0;
    int error = count < 0 ? errno : EIO;
    if (error == EPIPE || error == ECONNRESET) return bplib_fail_lost(descriptor, "");
    return bplib_fail(error, "notifier: %s", bproc_strerror(error));
}

int bproc_notifier(void) {
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) return -1;
    // Taken out of the channel: a change may follow the answer, and is the caller's to read.
    int descriptor = channel.descriptor;
    channel.descriptor = -1;
    bplib_channel_close(&channel);
    struct bproc_local_header answer;
    int flags = fcntl(descriptor, F_GETFL);
    if (send_header(descriptor, BPROC_LOCAL_NODES_WATCH, 0) < 0 ||
        read_exactly(descriptor, &answer, sizeof answer) < 0) {
        goto failed;
    }
    if (answer.kind != BPROC_LOCAL_NODE_DONE || answer.body_bytes != 0) {
        bplib_fail(EPROTO, "notifier: an answer of kind %u", answer.kind);
        goto failed;
    }
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) < 0) {
        bplib_fail(errno, "notifier: %s", bproc_strerror(errno));
        goto failed;
    }
    return descriptor;
failed:;
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
}

// Reads one table, into a set that is valid in any case. 1: it answers this question; 0; -1.
static int read_table(int descriptor, uint32_t request, struct bproc_node_set_t *set) {
    struct bproc_local_watched heading;
    if (read_exactly(descriptor, &heading, sizeof heading) < 0) return -1;
    if (heading.byte_count % sizeof *set->node != 0 || heading.byte_count > BPROC_LOCAL_BODY_MAX) {
        return bplib_fail(EPROTO, "notifier: a table of %u bytes", heading.byte_count);
    }
    int count = (int)(heading.byte_count / sizeof *set->node);
    set->size = 0;
    if (bproc_nodeset_grow(set, count) < 0) return -1;
    if (count > 0 && read_exactly(descriptor, set->node, heading.byte_count) < 0) return -1;
    for (int i = 0; i < count; i++) set->node[i].status[BPROC_STATE_LEN] = 0;
    set->size = count;
    return heading.request == request;
}

int bproc_nodelist_(struct bproc_node_set_t *nodes, int notifier) {
    static atomic_uint question;
    if (!nodes) return bplib_fail(EFAULT, "no place for the nodes");
    uint32_t request = atomic_fetch_add(&question, 1) + 1;
    if (request == 0) request = atomic_fetch_add(&question, 1) + 1;
    struct bproc_node_set_t set;
    if (bproc_nodeset_init(&set, 0) < 0) return -1;
    // Tables of changes that nobody has read come first; the answer is younger than all of them.
    int found = send_header(notifier, BPROC_LOCAL_NODES_REQUEST, request);
    while (found == 0) found = read_table(notifier, request, &set);
    if (found < 0) {
        int error = errno;
        bproc_nodeset_free(&set);
        errno = error;
        return -1;
    }
    *nodes = set;
    return set.size;
}
