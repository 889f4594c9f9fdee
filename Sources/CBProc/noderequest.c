// What the master does to one node, or says of it.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct request {
    int node;
    uint32_t action; // bproc_local_node_action
    uint32_t number;
    const char *name; // or NULL
    const void *value;
    size_t value_bytes;
};

// The answer to a request, which is valid while the channel is open. 0 or -1.
static int ask(struct bplib_channel *channel, const struct request *request,
               struct bplib_message *answer) {
    size_t name_bytes = request->name ? strlen(request->name) : 0;
    struct bproc_local_node_request head = {
        .node = request->node == BPROC_NODE_SELF ? channel->welcome.node : request->node,
        .action = request->action,
        .number = request->number,
        .name_bytes = (uint32_t)name_bytes,
        .value_bytes = (uint32_t)request->value_bytes,
    };
    struct iovec parts[] = {
        {.iov_base = &head, .iov_len = sizeof head},
        {.iov_base = (void *)request->name, .iov_len = name_bytes},
        {.iov_base = (void *)request->value, .iov_len = request->value_bytes},
    };
    if (bplib_channel_queue(channel, BPROC_LOCAL_NODE_REQUEST, parts, 3) < 0 ||
        bplib_channel_send(channel, -1, BPLIB_ANSWER_MILLISECONDS) < 0 ||
        bplib_channel_receive(channel, answer, BPLIB_ANSWER_MILLISECONDS) < 0) {
        return -1;
    }
    if (answer->header.kind == BPROC_LOCAL_NODE_DONE) return 0;
    struct bproc_local_refused refused;
    if (answer->header.kind != BPROC_LOCAL_REFUSED ||
        answer->header.body_bytes < sizeof refused) {
        return bplib_fail(EPROTO, "an answer of kind %u to a request about a node",
                          answer->header.kind);
    }
    memcpy(&refused, answer->body, sizeof refused);
    char text[sizeof refused.reason + 1];
    bplib_copy_text(text, sizeof text, refused.reason, sizeof refused.reason);
    return bplib_fail(refused.error > 0 ? refused.error : EIO, "%s", text);
}

static int change(const struct request *request) {
    struct bplib_channel channel;
    struct bplib_message answer;
    if (bplib_channel_open(&channel) < 0) return -1;
    int result = ask(&channel, request, &answer);
    bplib_channel_close(&channel);
    return result;
}

// ENOSPC for what is longer than the interface allows, before anybody is asked. 0 or -1.
static int check_length(const char *what, size_t byte_count, size_t limit) {
    if (byte_count <= limit) return 0;
    return bplib_fail(ENOSPC, "%s of %zu bytes; %zu are the most", what, byte_count, limit);
}

int bproc_chmod(int node, int mode) {
    return change(&(struct request){
        .node = node, .action = BPROC_LOCAL_NODE_SET_MODE, .number = (uint32_t)mode});
}

int bproc_chown(int node, int user) {
    return change(&(struct request){
        .node = node, .action = BPROC_LOCAL_NODE_SET_USER, .number = (uint32_t)user});
}

int bproc_chgrp(int node, int group) {
    return change(&(struct request){
        .node = node, .action = BPROC_LOCAL_NODE_SET_GROUP, .number = (uint32_t)group});
}

int bproc_nodesetstatus(int node, const char *status) {
    if (!status) return bplib_fail(EFAULT, "no state");
    if (check_length("a state", strlen(status), BPROC_STATE_LEN) < 0) return -1;
    return change(&(struct request){.node = node,
                                    .action = BPROC_LOCAL_NODE_SET_STATE,
                                    .value = status,
                                    .value_bytes = strlen(status)});
}

int bproc_setnodeattr(int node, const char *name, const void *value, int size) {
    if (!name || (!value && size > 0)) return bplib_fail(EFAULT, "no name, or no value");
    if (size < 0) return bplib_fail(EINVAL, "a value of %d bytes", size);
    if (check_length("a name", strlen(name), BPROC_XATTR_MAX_NAME_SIZE) < 0) return -1;
    if (check_length("a value", (size_t)size, BPROC_XATTR_MAX_VALUE_SIZE) < 0) return -1;
    return change(&(struct request){.node = node,
                                    .action = BPROC_LOCAL_NODE_SET_ATTRIBUTE,
                                    .name = name,
                                    .value = value,
                                    .value_bytes = (size_t)size});
}

int bproc_nodechroot(int node, const char *path) {
    if (!path) return bplib_fail(EFAULT, "no path");
    if (strlen(path) > BPROC_LOCAL_NODE_TEXT_MAX) {
        return bplib_fail(ENAMETOOLONG, "a path of %zu bytes", strlen(path));
    }
    return change(&(struct request){.node = node,
                                    .action = BPROC_LOCAL_NODE_CHANGE_ROOT,
                                    .value = path,
                                    .value_bytes = strlen(path)});
}

int bproc_nodereboot(int node) {
    return change(&(struct request){.node = node, .action = BPROC_LOCAL_NODE_REBOOT});
}

int bproc_nodehalt(int node) {
    return change(&(struct request){.node = node, .action = BPROC_LOCAL_NODE_HALT});
}

int bproc_nodepwroff(int node) {
    return change(&(struct request){.node = node, .action = BPROC_LOCAL_NODE_POWER_OFF});
}

// An address as the protocol has it. 0 or -1.
static int read_endpoint(const struct sockaddr *address, int size,
                         struct bproc_local_endpoint *endpoint) {
    struct sockaddr_in6 storage;
    if (size < (int)sizeof(struct sockaddr_in)) {
        return bplib_fail(EINVAL, "an address of %d bytes", size);
    }
    // The caller's bytes may be aligned for nothing.
    memcpy(&storage, address, (size_t)size < sizeof storage ? (size_t)size : sizeof storage);
    endpoint->family = storage.sin6_family;
    endpoint->port = ntohs(storage.sin6_port);
    if (storage.sin6_family == AF_INET) {
        const struct sockaddr_in *old = (const struct sockaddr_in *)&storage;
        memcpy(endpoint->address, &old->sin_addr, sizeof old->sin_addr);
        return 0;
    }
    if (storage.sin6_family != AF_INET6 || (size_t)size < sizeof storage) {
        return bplib_fail(EINVAL, "an address of family %d", storage.sin6_family);
    }
    memcpy(endpoint->address, &storage.sin6_addr, sizeof storage.sin6_addr);
    return 0;
}

int bproc_nodereconnect(int node, struct sockaddr *remote, int remote_size,
                        struct sockaddr *local, int local_size) {
    struct bproc_local_way way;
    memset(&way, 0, sizeof way);
    if (!remote) return bplib_fail(EFAULT, "no address of a master");
    if (read_endpoint(remote, remote_size, &way.master) < 0) return -1;
    if (way.master.port == 0) return bplib_fail(EINVAL, "a master's address without a port");
    if (local && local_size > 0 && read_endpoint(local, local_size, &way.own) < 0) return -1;
    return change(&(struct request){.node = node,
                                    .action = BPROC_LOCAL_NODE_RECONNECT,
                                    .value = &way,
                                    .value_bytes = sizeof way});
}

int bplib_request_attribute(int node, const char *name, void *value, int size) {
    if (strlen(name) > BPROC_XATTR_MAX_NAME_SIZE) {
        return bplib_fail(ENODATA, "no attribute has a name of %zu bytes", strlen(name));
    }
    struct bplib_channel channel;
    struct bplib_message answer;
    if (bplib_channel_open(&channel) < 0) return -1;
    struct request request = {
        .node = node, .action = BPROC_LOCAL_NODE_GET_ATTRIBUTE, .name = name};
    int length = ask(&channel, &request, &answer);
    if (length == 0) {
        length = (int)answer.header.body_bytes;
        if (length > size) {
            length = bplib_fail(ERANGE, "the value needs %d bytes, not %d", length, size);
        } else {
            memcpy(value, answer.body, (size_t)length);
        }
    }
    bplib_channel_close(&channel);
    return length;
}

// What the daemon answers, for the caller to free, with a NUL behind it that does not count. The
// number of bytes, or -1.
static int ask_text(uint32_t action, const char *what, char **text) {
    struct bplib_channel channel;
    struct bplib_message answer;
    if (bplib_channel_open(&channel) < 0) return -1;
    int result = ask(&channel, &(struct request){.action = action}, &answer);
    if (result == 0) {
        result = (int)answer.header.body_bytes;
        char *copy = malloc((size_t)result + 1);
        if (copy) {
            memcpy(copy, answer.body, (size_t)result);
            copy[result] = 0;
            *text = copy;
        } else {
            result = bplib_fail(ENOMEM, "out of memory: %s of %d bytes", what, result);
        }
    }
    bplib_channel_close(&channel);
    return result;
}

int bproc_nodegroups(char **groups) {
    if (!groups) return bplib_fail(EFAULT, "no place for the groups");
    int length = ask_text(BPROC_LOCAL_NODE_GROUPS, "groups", groups), count = 0;
    if (length < 0) return -1;
    for (int i = 0; i < length; i++) count += (*groups)[i] == '\n';
    return count;
}

int bproc_metrics(char **text) {
    if (!text) return bplib_fail(EFAULT, "no place for the text");
    *text = NULL;
    return ask_text(BPROC_LOCAL_NODE_METRICS, "metrics", text) < 0 ? -1 : 0;
}

// ---- The list of libraries ----

int bproc_liblist(char **list) {
    if (!list) return bplib_fail(EFAULT, "no place for the list");
    return ask_text(BPROC_LOCAL_NODE_LIBRARIES, "a list of libraries", list) < 0 ? -1 : 0;
}

int bproc_libclear(void) {
    return change(&(struct request){.action = BPROC_LOCAL_NODE_CLEAR_LIBRARIES});
}

static int change_libraries(uint32_t action, const char *library) {
    if (!library) return bplib_fail(EFAULT, "no name");
    if (strlen(library) > BPROC_LOCAL_NODE_TEXT_MAX) {
        return bplib_fail(ENAMETOOLONG, "a library with a name of %zu bytes", strlen(library));
    }
    return change(&(struct request){
        .action = action, .value = library, .value_bytes = strlen(library)});
}

int bproc_libadd(const char *library) {
    return change_libraries(BPROC_LOCAL_NODE_ADD_LIBRARY, library);
}

int bproc_libdel(const char *library) {
    return change_libraries(BPROC_LOCAL_NODE_REMOVE_LIBRARY, library);
}
