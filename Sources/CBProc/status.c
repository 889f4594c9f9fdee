// What the processes of the nodes do, and what the daemons keep.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(BPROC_PROCESS_COMMAND_BYTES == sizeof((struct bproc_local_status *)0)->command,
               "a command has the protocol's length");

enum { PATIENCE_MOST = 20000 };

struct list {
    struct bproc_process_status *entries;
    size_t count, capacity;
};

// Room for count more.
static int reserve(struct list *list, size_t count) {
    if (count <= list->capacity - list->count) return 0;
    // Twice as much each time, for an answer that comes in a thousand parts.
    size_t capacity = list->count + count + list->capacity;
    if (capacity > INT_MAX) return bplib_fail(EOVERFLOW, "more processes than an int counts");
    void *grown = realloc(list->entries, capacity * sizeof *list->entries);
    if (!grown) return bplib_fail(ENOMEM, "out of memory");
    list->entries = grown;
    list->capacity = capacity;
    return 0;
}

static struct bproc_process_status status_of(const struct bproc_local_status *raw) {
    struct bproc_process_status status = {
        .pid = raw->process,
        .node = raw->node,
        .rank = (int)raw->rank,
        .job = raw->job,
        .local_pid = raw->local_process,
        .local_parent = raw->local_parent,
        .user = raw->user,
        .state = raw->state > ' ' && raw->state < 127 ? (int)raw->state : '?',
        .user_microseconds = raw->user_microseconds,
        .system_microseconds = raw->system_microseconds,
        .elapsed_microseconds = raw->elapsed_microseconds,
        .resident_bytes = raw->resident_bytes,
    };
    bplib_copy_text(status.command, sizeof status.command, raw->command, sizeof raw->command);
    return status;
}

// One part of the answer. 1: the last; 0; -1.
static int take(const struct bplib_message *answer, struct list *list) {
    struct bproc_local_statuses head;
    memcpy(&head, answer->body, sizeof head);
    if (head.count > BPROC_LOCAL_PROCESSES_MOST ||
        answer->header.body_bytes - sizeof head != head.count * sizeof(struct bproc_local_status)) {
        return bplib_fail(EPROTO, "state of processes: %u entries in %u bytes", head.count,
                          answer->header.body_bytes);
    }
    if (head.is_last) return 1;
    if (reserve(list, head.count + 1) < 0) return -1;
    if (head.error > 0) {
        list->entries[list->count++] =
            (struct bproc_process_status){.node = head.node, .error = head.error};
    }
    for (size_t i = 0; i < head.count; i++) {
        struct bproc_local_status raw;
        memcpy(&raw, answer->body + sizeof head + i * sizeof raw, sizeof raw);
        list->entries[list->count++] = status_of(&raw);
    }
    return 0;
}

static int collect(struct bplib_channel *channel, int node, int patience, struct list *list) {
    struct bproc_local_status_request request = {.node = node,
                                                 .patience_milliseconds = (uint32_t)patience};
    struct iovec part = {.iov_base = &request, .iov_len = sizeof request};
    if (bplib_channel_queue(channel, BPROC_LOCAL_STATUS_REQUEST, &part, 1) < 0 ||
        bplib_channel_send(channel, -1, BPLIB_ANSWER_MILLISECONDS) < 0) {
        return -1;
    }
    for (;;) {
        struct bplib_message answer;
        if (bplib_channel_expect(channel, &answer, BPROC_LOCAL_STATUS,
                                 sizeof(struct bproc_local_statuses), "state of processes") < 0) {
            return -1;
        }
        int taken = take(&answer, list);
        if (taken != 0) return taken < 0 ? -1 : 0;
    }
}

int bproc_processstatus(int node, int patience_milliseconds, struct bproc_process_status **list) {
    if (!list) return bplib_fail(EFAULT, "no place for the list");
    *list = NULL;
    // The daemon answers sooner than a caller gives it up.
    _Static_assert((int)PATIENCE_MOST < (int)BPLIB_ANSWER_MILLISECONDS, "time for an answer");
    if (patience_milliseconds < 1 || patience_milliseconds > PATIENCE_MOST) {
        return bplib_fail(EINVAL, "%d ms: 1 to %d are possible", patience_milliseconds,
                          PATIENCE_MOST);
    }
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) return -1;
    if (node == BPROC_NODE_SELF) node = channel.welcome.node;
    struct list found = {0};
    int result = collect(&channel, node, patience_milliseconds, &found);
    bplib_channel_close(&channel);
    if (result < 0 || found.count == 0) {
        free(found.entries);
        return result;
    }
    *list = found.entries;
    return (int)found.count;
}

int bproc_debug(int node, char **text) {
    if (!text) return bplib_fail(EFAULT, "no place for the text");
    *text = NULL;
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) return -1;
    struct bproc_local_book_request request = {.node = node};
    struct iovec part = {.iov_base = &request, .iov_len = sizeof request};
    struct bplib_message answer;
    int result = -1;
    if (bplib_channel_queue(&channel, BPROC_LOCAL_BOOK_REQUEST, &part, 1) == 0 &&
        bplib_channel_send(&channel, -1, BPLIB_ANSWER_MILLISECONDS) == 0 &&
        bplib_channel_expect(&channel, &answer, BPROC_LOCAL_BOOK, 0, "book-keeping") == 0) {
        *text = strndup((const char *)answer.body, answer.header.body_bytes);
        result = *text ? 0 : bplib_fail(ENOMEM, "out of memory");
    }
    bplib_channel_close(&channel);
    return result;
}
