/* The cluster and its nodes. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

#include <netinet/in.h>
#include <sys/wait.h>

static void version(void) {
    struct bproc_version_t version;
    CHECK_FAILS(bproc_version(NULL), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_version(&version), ENOSYS);
        return;
    }
    CHECK(bproc_version(&version) == 0);
    CHECK(memcmp(version.bproc_magic, "BPr", 3) == 0);
    CHECK(version.arch == BPROC_ARCH_X86_64);
    CHECK(memchr(version.version_string, 0, sizeof version.version_string) != NULL);
}

static void strerror_of_both_signs(void) {
    CHECK(strcmp(bproc_strerror(BE_INVALIDNODE), "Invalid node number") == 0);
    CHECK(strcmp(bproc_strerror(-BE_NODEDOWN), "Node is down") == 0);
    CHECK(strcmp(bproc_strerror(BE_SAMENODE), "Move to same node") == 0);
    CHECK(strcmp(bproc_strerror(BE_SLAVEDIED), "Slave node died") == 0);
    CHECK(strcmp(bproc_strerror(BE_INVALIDPROC), "Invalid process ID") == 0);
    CHECK(strcmp(bproc_strerror(-ENOENT), strerror(ENOENT)) == 0);
    CHECK(bproc_strerror(99999) != NULL);
}

static void reason(void) {
    CHECK_FAILS(bproc_access(0, 8), EINVAL);
    CHECK(strstr(bproc_reason(), "0x8") != NULL);
}

static void stage_name(void) {
    CHECK(strcmp(bproc_stage_name(BPROC_STAGE_CONNECT), "connect") == 0);
    CHECK(strcmp(bproc_stage_name(-1), "unknown") == 0);
    CHECK(strcmp(bproc_stage_name(1000), "unknown") == 0);
}

static void numnodes(void) { CHECK(bproc_numnodes() == (has_cluster ? 3 : 0)); }

static void currnode(void) { CHECK(bproc_currnode() == BPROC_NODE_MASTER); }

static void nodelist(void) {
    struct bproc_node_set_t set = BPROC_EMPTY_NODESET;
    CHECK_FAILS(bproc_nodelist(NULL), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_nodelist(&set), EBUSY);
        CHECK(set.size == 0 && set.node == NULL);
        return;
    }
    CHECK(bproc_nodelist(&set) == 3);
    CHECK(set.size == 3 && set.alloc >= 3);
    for (int i = 0; i < set.size; i++) {
        CHECK(bproc_node_set_node(&set, i).node == i);
        CHECK(strcmp(set.node[i].status, i < 2 ? "up" : "down") == 0);
    }
    CHECK(set.node[0].mode == 0111);
    CHECK(set.node[0].addr.sa_family == AF_INET);
    CHECK(set.node[2].addr.sa_family == AF_UNSPEC);
    bproc_nodeset_free(&set);
}

static void nodeinfo(void) {
    struct bproc_node_info_t info;
    CHECK_FAILS(bproc_nodeinfo(0, NULL), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_nodeinfo(0, &info), EBUSY);
        return;
    }
    CHECK(bproc_nodeinfo(1, &info) == 0);
    CHECK(info.node == 1 && strcmp(info.status, "up") == 0);
    /* A node that is down is a node. */
    CHECK(bproc_nodeinfo(2, &info) == 0);
    CHECK(strcmp(info.status, "down") == 0 && info.mode == 0);
    CHECK_FAILS(bproc_nodeinfo(3, &info), BE_INVALIDNODE);
    CHECK_FAILS(bproc_nodeinfo(BPROC_NODE_NONE, &info), BE_INVALIDNODE);
    CHECK_FAILS(bproc_nodeinfo(BPROC_NODE_MASTER, &info), ENODATA);
}

static void nodestatus(void) {
    char status[BPROC_STATE_LEN + 1];
    CHECK_FAILS(bproc_nodestatus(0, status, -1), EINVAL);
    CHECK_FAILS(bproc_nodestatus(0, NULL, 4), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_nodestatus(0, status, 16), EBUSY);
        return;
    }
    CHECK(bproc_nodestatus(0, status, sizeof status) == 2);
    CHECK(strcmp(status, "up") == 0);
    memset(status, 'x', sizeof status);
    CHECK(bproc_nodestatus(2, status, 4) == 4);
    CHECK(memcmp(status, "downx", 5) == 0);
    CHECK_FAILS(bproc_nodestatus(2, status, 3), ERANGE);
    CHECK_FAILS(bproc_nodestatus(99, status, 16), BE_INVALIDNODE);
    CHECK_FAILS(bproc_nodestatus(BPROC_NODE_MASTER, status, 16), ENODATA);
}

static void nodeaddr(void) {
    struct sockaddr address;
    struct sockaddr_in inet;
    int size = sizeof address;
    CHECK_FAILS(bproc_nodeaddr(0, NULL, &size), EFAULT);
    CHECK_FAILS(bproc_nodeaddr(0, &address, NULL), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_nodeaddr(0, &address, &size), EBUSY);
        return;
    }
    size = 100;
    CHECK(bproc_nodeaddr(1, &address, &size) == 0);
    CHECK(size == (int)sizeof address);
    memcpy(&inet, &address, sizeof inet);
    CHECK(inet.sin_family == AF_INET && ntohl(inet.sin_addr.s_addr) >> 24 == 127);
    CHECK_FAILS(bproc_nodeaddr(2, &address, &size), ENODATA);
    CHECK_FAILS(bproc_nodeaddr(99, &address, &size), BE_INVALIDNODE);
    size = 15;
    CHECK_FAILS(bproc_nodeaddr(0, &address, &size), ERANGE);
    size = -1;
    CHECK_FAILS(bproc_nodeaddr(0, &address, &size), ERANGE);
}

static void getnodeattr(void) {
    char value[64];
    struct sockaddr_in inet;
    CHECK_FAILS(bproc_getnodeattr(0, NULL, value, 64), EFAULT);
    CHECK_FAILS(bproc_getnodeattr(0, "state", NULL, 64), EFAULT);
    CHECK_FAILS(bproc_getnodeattr(0, "state", value, -1), EINVAL);
    if (!has_cluster) {
        CHECK_FAILS(bproc_getnodeattr(0, "state", value, 64), EBUSY);
        return;
    }
    CHECK(bproc_getnodeattr(0, "state", value, 64) == 2 && strcmp(value, "up") == 0);
    CHECK(bproc_getnodeattr(0, "addr", value, 64) == (int)sizeof inet);
    memcpy(&inet, value, sizeof inet);
    CHECK(inet.sin_family == AF_INET);
    CHECK_FAILS(bproc_getnodeattr(0, "addr", value, 8), ERANGE);
    CHECK_FAILS(bproc_getnodeattr(2, "addr", value, 64), ENODATA);
    CHECK_FAILS(bproc_getnodeattr(0, "colour", value, 64), ENODATA);
    CHECK_FAILS(bproc_getnodeattr(99, "colour", value, 64), BE_INVALIDNODE);
}

/* As a user who is not root. */
static void access_of_an_ordinary_user(void) {
    CHECK(bproc_access(0, BPROC_X_OK) == 0);
    CHECK(bproc_access(2, 0) == 0);
    CHECK_FAILS(bproc_access(2, BPROC_X_OK), EACCES);
}

static void access_to_nodes(void) {
    CHECK_FAILS(bproc_access(0, 2), EINVAL);
    CHECK_FAILS(bproc_access(0, -1), EINVAL);
    CHECK(bproc_access(BPROC_NODE_MASTER, BPROC_X_OK) == 0);
    if (!has_cluster) {
        CHECK_FAILS(bproc_access(0, BPROC_X_OK), EBUSY);
        return;
    }
    CHECK(bproc_access(0, BPROC_X_OK) == 0);
    CHECK(bproc_access(BPROC_NODE_SELF, BPROC_X_OK) == 0);
    CHECK_FAILS(bproc_access(3, BPROC_X_OK), BE_INVALIDNODE);
    if (getuid() != 0) {
        access_of_an_ordinary_user();
        return;
    }
    CHECK(bproc_access(2, BPROC_X_OK) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        CHECK(setgid(54321) == 0 && setuid(54321) == 0);
        access_of_an_ordinary_user();
        fflush(stdout);
        _exit(failure_count > 0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

const struct test_case node_cases[] = {
    {"bproc_version", version},
    {"bproc_strerror", strerror_of_both_signs},
    {"bproc_reason", reason},
    {"bproc_stage_name", stage_name},
    {"bproc_numnodes", numnodes},
    {"bproc_currnode", currnode},
    {"bproc_nodelist", nodelist},
    {"bproc_nodeinfo", nodeinfo},
    {"bproc_nodestatus", nodestatus},
    {"bproc_nodeaddr", nodeaddr},
    {"bproc_getnodeattr", getnodeattr},
    {"bproc_access", access_to_nodes},
    {NULL, NULL},
};
