// What the daemon knows of the cluster and its nodes.
#define _GNU_SOURCE
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(struct bproc_node_info_t) == 48, "bproc_node_info_t");
_Static_assert(sizeof(struct bproc_proc_info_t) == 8, "bproc_proc_info_t");
_Static_assert(sizeof(struct bproc_version_t) == 32, "bproc_version_t");

int bproc_version(struct bproc_version_t *version) {
    if (!version) return bplib_fail(EFAULT, "no place for the version");
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) {
        // Programs test for BProc with this call, and ENOSYS is the no that they know.
        if (errno == EBUSY) errno = ENOSYS;
        return -1;
    }
    *version = (struct bproc_version_t){.bproc_magic = {'B', 'P', 'r'},
                                        .arch = (uint8_t)channel.welcome.architecture,
                                        .magic = channel.welcome.protocol_version};
    bplib_copy_text(version->version_string, sizeof version->version_string,
                    channel.welcome.version, sizeof channel.welcome.version);
    bplib_channel_close(&channel);
    return 0;
}

int bproc_numnodes(void) {
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) return errno == EBUSY ? 0 : -1;
    uint32_t count = channel.welcome.node_count;
    bplib_channel_close(&channel);
    return count > INT_MAX ? INT_MAX : (int)count;
}

int bproc_currnode(void) {
    if (bplib_has_place()) return bplib_place.node;
    struct bplib_channel channel;
    if (bplib_channel_open(&channel) < 0) return BPROC_NODE_MASTER;
    int node = channel.welcome.node;
    bplib_channel_close(&channel);
    return node;
}

// Opens the channel and asks for the table; the caller closes it.
static int request_nodes(struct bplib_channel *channel, struct bplib_message *answer) {
    if (bplib_channel_open(channel) < 0) return -1;
    if (bplib_channel_queue(channel, BPROC_LOCAL_NODES_REQUEST, NULL, 0) < 0 ||
        bplib_channel_send(channel, -1, BPLIB_ANSWER_MILLISECONDS) < 0 ||
        bplib_channel_expect(channel, answer, BPROC_LOCAL_NODES, 0, "list of nodes") < 0) {
        bplib_channel_close(channel);
        return -1;
    }
    if (answer->header.body_bytes % sizeof(struct bproc_local_node) != 0) {
        bplib_fail(EPROTO, "list of nodes: %u bytes are no whole number of entries",
                   answer->header.body_bytes);
        bplib_channel_close(channel);
        return -1;
    }
    return 0;
}

// Writes a node's address as IPv4 or IPv6. Answers its length; 0: there is none.
static size_t node_address(const struct bproc_local_node *node, struct sockaddr_in6 *storage) {
    memset(storage, 0, sizeof *storage);
    if (node->address_family == AF_INET) {
        struct sockaddr_in *address = (struct sockaddr_in *)storage;
        address->sin_family = AF_INET;
        address->sin_port = htons(node->port);
        memcpy(&address->sin_addr, node->address, sizeof address->sin_addr);
        return sizeof *address;
    }
    if (node->address_family == AF_INET6) {
        storage->sin6_family = AF_INET6;
        storage->sin6_port = htons(node->port);
        memcpy(&storage->sin6_addr, node->address, sizeof storage->sin6_addr);
        return sizeof *storage;
    }
    return 0;
}

static struct bproc_node_info_t node_info(const struct bproc_local_node *node) {
    struct bproc_node_info_t info = {
        .node = node->node, .mode = node->mode, .user = node->user, .group = node->group};
    bplib_copy_text(info.status, sizeof info.status, node->state, sizeof node->state);
    struct sockaddr_in6 storage;
    if (node_address(node, &storage) == sizeof(struct sockaddr_in)) {
        memcpy(&info.addr, &storage, sizeof info.addr);
    }
    return info;
}

static struct bproc_local_node entry_at(const struct bplib_message *answer, size_t index) {
    struct bproc_local_node entry;
    memcpy(&entry, answer->body + index * sizeof entry, sizeof entry);
    return entry;
}

// One node's entry; BPROC_NODE_SELF is the node of the caller.
static int find_node(int number, struct bproc_local_node *found) {
    struct bplib_channel channel;
    struct bplib_message answer;
    if (request_nodes(&channel, &answer) < 0) return -1;
    if (number == BPROC_NODE_SELF) number = channel.welcome.node;
    size_t count = answer.header.body_bytes / sizeof *found;
    bool exists = false;
    for (size_t i = 0; i < count && !exists; i++) {
        *found = entry_at(&answer, i);
        exists = found->node == number;
    }
    bplib_channel_close(&channel);
    if (exists) return 0;
    if (number == BPROC_NODE_MASTER) {
        return bplib_fail(ENODATA, "the front end is not in the table of nodes");
    }
    return bplib_fail(BE_INVALIDNODE, "there is no node %d", number);
}

int bproc_nodelist(struct bproc_node_set_t *nodes) {
    if (!nodes) return bplib_fail(EFAULT, "no place for the nodes");
    struct bplib_channel channel;
    struct bplib_message answer;
    if (request_nodes(&channel, &answer) < 0) return -1;
    struct bproc_node_set_t set;
    size_t count = answer.header.body_bytes / sizeof(struct bproc_local_node);
    if (bproc_nodeset_init(&set, 0) < 0 || bproc_nodeset_grow(&set, (int)count) < 0) {
        bplib_channel_close(&channel);
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        struct bproc_local_node entry = entry_at(&answer, i);
        if (entry.node >= 0) set.node[set.size++] = node_info(&entry);
    }
    bplib_channel_close(&channel);
    *nodes = set;
    return set.size;
}

int bproc_nodeinfo(int node, struct bproc_node_info_t *info) {
    if (!info) return bplib_fail(EFAULT, "no place for the node");
    struct bproc_local_node entry;
    if (find_node(node, &entry) < 0) return -1;
    *info = node_info(&entry);
    return 0;
}

int bproc_nodestatus(int node, char *status, int len) {
    if (!status) return bplib_fail(EFAULT, "no place for the state");
    if (len < 0) return bplib_fail(EINVAL, "a state of %d bytes", len);
    if (node == BPROC_NODE_MASTER) return bplib_fail(ENODATA, "the front end has no state");
    struct bproc_local_node entry;
    if (find_node(node, &entry) < 0) return -1;
    struct bproc_node_info_t info = node_info(&entry);
    int length = (int)strlen(info.status);
    if (length > len) return bplib_fail(ERANGE, "the state needs %d bytes, not %d", length, len);
    memcpy(status, info.status, (size_t)length);
    if (length < len) status[length] = 0;
    return length;
}

int bproc_nodeaddr(int node, struct sockaddr *address, int *size) {
    if (!address || !size) return bplib_fail(EFAULT, "no place for the address");
    struct bproc_local_node entry;
    if (find_node(node, &entry) < 0) return -1;
    struct sockaddr_in6 storage;
    size_t length = node_address(&entry, &storage);
    if (length == 0) return bplib_fail(ENODATA, "node %d has no address now", entry.node);
    if (*size < 0 || (size_t)*size < length) {
        return bplib_fail(ERANGE, "the address of node %d needs %zu bytes, not %d", entry.node,
                          length, *size);
    }
    memcpy(address, &storage, length);
    *size = (int)length;
    return 0;
}

int bproc_getnodeattr(int node, const char *name, void *value, int size) {
    if (!name || !value) return bplib_fail(EFAULT, "no name, or no place for the value");
    if (size < 0) return bplib_fail(EINVAL, "a value of %d bytes", size);
    if (strcmp(name, "state") == 0) return bproc_nodestatus(node, value, size);
    if (strcmp(name, "addr") == 0) {
        struct sockaddr_in6 address;
        int length = sizeof address;
        if (bproc_nodeaddr(node, (struct sockaddr *)&address, &length) < 0) return -1;
        if (length > size) return bplib_fail(ERANGE, "the address needs %d bytes", length);
        memcpy(value, &address, (size_t)length);
        return length;
    }
    return bplib_request_attribute(node, name, value, size);
}

// Whether one of the caller's groups is this one. 1, 0 or -1.
static int is_member(gid_t group) {
    if (getgid() == group) return 1;
    int count = getgroups(0, NULL);
    if (count <= 0) return count;
    gid_t *groups = malloc((size_t)count * sizeof *groups);
    if (!groups) return bplib_fail(ENOMEM, "out of memory: %d groups", count);
    count = getgroups(count, groups);
    int found = count < 0 ? -1 : 0;
    for (int i = 0; i < count && !found; i++) found = groups[i] == group;
    free(groups);
    return found;
}

int bproc_access(int node, int mode) {
    if (mode & ~BPROC_X_OK) return bplib_fail(EINVAL, "%#x is no mode of access to a node", mode);
    // The way home is open to everyone, also where no daemon runs.
    if (node == BPROC_NODE_MASTER) return 0;
    struct bproc_local_node entry;
    if (find_node(node, &entry) < 0) {
        bool is_home = node == BPROC_NODE_SELF && errno == ENODATA;
        return is_home ? 0 : -1;
    }
    if (mode == 0 || getuid() == 0) return 0;
    unsigned int bit = 0001;
    if (getuid() == entry.user) {
        bit = 0100;
    } else {
        int member = is_member(entry.group);
        if (member < 0) return -1;
        if (member > 0) bit = 0010;
    }
    if (entry.mode & bit) return 0;
    return bplib_fail(EACCES, "user %u may not use node %d", (unsigned int)getuid(), entry.node);
}
