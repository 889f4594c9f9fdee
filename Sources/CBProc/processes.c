// The process space: its list, and signals to its processes.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(BPROC_NODE_ANY == (int)BPROC_LOCAL_ANY_NODE, "the protocol has the same number");

// Asks for a page of the list. The answer is valid until the channel is read again. The number of
// entries, or -1.
static int ask_page(struct bplib_channel *channel,
                    const struct bproc_local_processes_request *request,
                    struct bplib_message *answer, struct bproc_local_processes *head) {
    struct iovec part = {.iov_base = (void *)request, .iov_len = sizeof *request};
    if (bplib_channel_queue(channel, BPROC_LOCAL_PROCESSES_REQUEST, &part, 1) < 0 ||
        bplib_channel_send(channel, -1, BPLIB_ANSWER_MILLISECONDS) < 0 ||
        bplib_channel_expect(channel, answer, BPROC_LOCAL_PROCESSES, sizeof *head,
                             "list of processes") < 0) {
        return -1;
    }
    memcpy(head, answer->body, sizeof *head);
    size_t entry_bytes = answer->header.body_bytes - sizeof *head;
    if (head->count > BPROC_LOCAL_PROCESSES_MOST ||
        entry_bytes != head->count * sizeof(struct bproc_local_process)) {
        return bplib_fail(EPROTO, "list of processes: %u entries in %zu bytes", head->count,
                          entry_bytes);
    }
    return (int)head->count;
}

static struct bproc_local_process entry_at(const struct bplib_message *answer, size_t index) {
    struct bproc_local_process entry;
    memcpy(&entry, answer->body + sizeof(struct bproc_local_processes) + index * sizeof entry,
           sizeof entry);
    return entry;
}

struct list {
    struct bproc_proc_info_t *entries;
    size_t count, capacity;
};

static int append(struct list *list, const struct bplib_message *answer, size_t count) {
    if (count > list->capacity - list->count) {
        // Twice as much each time: a long list is copied a few times, not once a page.
        size_t capacity = list->count + count + list->capacity;
        if (capacity > INT_MAX) return bplib_fail(EOVERFLOW, "more processes than an int counts");
        void *grown = realloc(list->entries, capacity * sizeof *list->entries);
        if (!grown) return bplib_fail(ENOMEM, "out of memory");
        list->entries = grown;
        list->capacity = capacity;
    }
    for (size_t i = 0; i < count; i++) {
        struct bproc_local_process entry = entry_at(answer, i);
        list->entries[list->count++] =
            (struct bproc_proc_info_t){.pid = entry.process, .node = entry.node};
    }
    return 0;
}

static int collect(struct bplib_channel *channel, struct bproc_local_processes_request *request,
                   struct list *list) {
    for (;;) {
        struct bplib_message answer;
        struct bproc_local_processes head;
        int count = ask_page(channel, request, &answer, &head);
        if (count < 0 || append(list, &answer, (size_t)count) < 0) return -1;
        if (head.is_last) return 0;
        if (count == 0) return bplib_fail(EPROTO, "list of processes: an empty page");
        struct bproc_local_process last = entry_at(&answer, (size_t)count - 1);
        request->after_job = last.job;
        request->after_rank = last.rank;
    }
}

int bproc_proclist(int node, struct bproc_proc_info_t **list) {
    if (!list) return bplib_fail(EFAULT, "no place for the list");
    *list = NULL;
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) return -1;
    if (node == BPROC_NODE_SELF) node = channel.welcome.node;
    struct bproc_local_processes_request request = {.node = node};
    struct list found = {0};
    int result = -1;
    if (node != BPROC_NODE_ANY && node != BPROC_NODE_MASTER &&
        (node < 0 || (uint32_t)node >= channel.welcome.node_count)) {
        (void)bplib_fail(BE_INVALIDNODE, "there is no node %d", node);
    } else {
        result = collect(&channel, &request, &found);
    }
    bplib_channel_close(&channel);
    if (result < 0 || found.count == 0) {
        free(found.entries);
        return result;
    }
    *list = found.entries;
    return (int)found.count;
}

// The process that fits; ESRCH, with the sentence, if there is none. 0 or -1.
static int find(int pid, uint32_t flags, const char *none, struct bproc_local_process *found) {
    if (pid <= 0) return bplib_fail(EINVAL, "%d is no process number", pid);
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) return -1;
    struct bproc_local_processes_request request = {.process = pid, .flags = flags};
    struct bplib_message answer;
    struct bproc_local_processes head;
    int count = ask_page(&channel, &request, &answer, &head);
    if (count > 0) *found = entry_at(&answer, 0);
    if (count == 0) bplib_fail(ESRCH, "process %d %s", pid, none);
    bplib_channel_close(&channel);
    return count > 0 ? 0 : -1;
}

int bproc_pidnode(int pid) {
    struct bproc_local_process found;
    return find(pid, 0, "is on no node", &found) < 0 ? -1 : found.node;
}

static const char not_lost[] = "has not ended with its node";

int bproc_lostnode(int pid) {
    struct bproc_local_process found;
    return find(pid, BPROC_LOCAL_PROCESSES_LOST, not_lost, &found) < 0 ? -1 : found.node;
}

int bproc_lostcause(int pid) {
    struct bproc_local_process found;
    if (find(pid, BPROC_LOCAL_PROCESSES_LOST, not_lost, &found) < 0) return -1;
    return found.state == BPROC_LOCAL_PROCESS_LEFT ? BPROC_LOST_LEFT : BPROC_LOST_DIED;
}

static int send_signal(int pid, int signal, uint32_t flags) {
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) return -1;
    struct bproc_local_kill request = {.process = pid, .signal = signal, .flags = flags};
    struct iovec part = {.iov_base = &request, .iov_len = sizeof request};
    struct bplib_message answer;
    int result = 0;
    if (bplib_channel_queue(&channel, BPROC_LOCAL_KILL, &part, 1) < 0 ||
        bplib_channel_send(&channel, -1, BPLIB_ANSWER_MILLISECONDS) < 0 ||
        bplib_channel_expect(&channel, &answer, BPROC_LOCAL_NODE_DONE, 0, "signal") < 0) {
        result = -1;
    }
    bplib_channel_close(&channel);
    return result;
}

int bproc_kill(int pid, int signal) { return send_signal(pid, signal, 0); }

int bproc_killjob(int pid, int signal) { return send_signal(pid, signal, BPROC_LOCAL_KILL_JOB); }
