// A program on a node that changes nodes from there. The cluster tests link it with libbproc.
//   owner user OWN OTHER GROUP   as the owner of node OWN, who has nothing to say about node OTHER
//                                and belongs to GROUP
//   owner root NODE USER         as root
//   owner orders NODE OTHER DIR ADDRESS PORT
//                                as root, whom the slaves let halt their machines and change their
//                                roots: NODE and the own node get the root DIR and new links to
//                                the master at ADDRESS, OTHER is halted
//   owner halt                   as root: the own node is halted
// Says what was not as it should be, and ends with 1 then.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <unistd.h>

static int failure_count;

static void check(int is_right, const char *what) {
    if (is_right) return;
    failure_count++;
    printf("not so: %s (errno %d: %s)\n", what, errno, bproc_reason());
}

#define CHECK(condition) check(condition, #condition)
#define CHECK_FAILS(call, number) check((errno = 0, (call) == -1 && errno == (number)), #call)

static struct bproc_node_info_t info_of(int node) {
    struct bproc_node_info_t info;
    memset(&info, 0, sizeof info);
    CHECK(bproc_nodeinfo(node, &info) == 0);
    return info;
}

// Orders are root's, and the slaves here allow none.
static void order(int node) {
    struct sockaddr_in away = {.sin_family = AF_INET, .sin_port = htons(2223)};
    inet_pton(AF_INET, "192.0.2.1", &away.sin_addr);
    CHECK_FAILS(bproc_nodereboot(node), EPERM);
    CHECK_FAILS(bproc_nodehalt(node), EPERM);
    CHECK_FAILS(bproc_nodepwroff(node), EPERM);
    CHECK_FAILS(bproc_nodechroot(node, "/tmp"), EPERM);
    CHECK_FAILS(bproc_nodereconnect(node, (struct sockaddr *)&away, sizeof away, NULL, 0), EPERM);
    CHECK_FAILS(bproc_nodehalt(99), BE_INVALIDNODE);
    CHECK_FAILS(bproc_nodehalt(BPROC_NODE_MASTER), BE_INVALIDNODE);
    CHECK(strcmp(info_of(node).status, "up") == 0);
}

static void be_owner(int own, int other, int group) {
    char value[8] = "";
    int user = (int)getuid();
    CHECK(user != 0 && bproc_currnode() >= 0);
    CHECK((int)info_of(own).user == user && info_of(own).mode == 0111);
    CHECK((int)info_of(other).user != user && info_of(other).mode == 0100);
    CHECK(bproc_access(own, BPROC_X_OK) == 0);
    CHECK_FAILS(bproc_access(other, BPROC_X_OK), EACCES);

    CHECK(bproc_chmod(own, 0101) == 0 && info_of(own).mode == 0101);
    CHECK_FAILS(bproc_chmod(own, 0755), EPERM);
    CHECK(bproc_chgrp(own, (int)getgid()) == 0 && info_of(own).group == getgid());
    CHECK(bproc_chgrp(own, group) == 0 && (int)info_of(own).group == group);
    CHECK_FAILS(bproc_chgrp(own, 0), EPERM);
    CHECK_FAILS(bproc_chown(own, user), EPERM);
    CHECK_FAILS(bproc_nodesetstatus(own, "error"), EPERM);
    CHECK_FAILS(bproc_nodesetstatus(own, "down"), EPERM);
    CHECK_FAILS(bproc_setnodeattr(own, "cpus", "9", 1), EPERM);
    CHECK(bproc_getnodeattr(own, "cpus", value, sizeof value) == 1 && *value == '4');
    CHECK_FAILS(bproc_getnodeattr(own, "none", value, sizeof value), ENODATA);

    CHECK_FAILS(bproc_chmod(other, 0111), EPERM);
    CHECK_FAILS(bproc_chgrp(other, group), EPERM);
    CHECK_FAILS(bproc_chown(other, user), EPERM);
    CHECK_FAILS(bproc_nodesetstatus(other, "error"), EPERM);
    CHECK_FAILS(bproc_chmod(99, 0111), BE_INVALIDNODE);
    CHECK_FAILS(bproc_chmod(BPROC_NODE_MASTER, 0111), BE_INVALIDNODE);
    CHECK(info_of(other).mode == 0100 && strcmp(info_of(other).status, "up") == 0);
    order(own);
    order(other);

    // He may lock himself out, and come back.
    CHECK(bproc_chmod(own, 0) == 0);
    CHECK_FAILS(bproc_access(own, BPROC_X_OK), EACCES);
    CHECK(bproc_chmod(own, 0100) == 0 && bproc_access(own, BPROC_X_OK) == 0);
}

static void be_root(int node, int user) {
    char value[8] = "";
    CHECK(getuid() == 0);
    CHECK(bproc_setnodeattr(node, "cpus", "4", 1) == 0);
    CHECK(bproc_getnodeattr(node, "cpus", value, sizeof value) == 1 && *value == '4');
    CHECK(bproc_nodesetstatus(node, "error") == 0);
    CHECK(strcmp(info_of(node).status, "error") == 0);
    CHECK(bproc_nodesetstatus(node, "up") == 0);
    CHECK(bproc_chown(node, user) == 0 && (int)info_of(node).user == user);
    CHECK(bproc_access(node, BPROC_X_OK) == 0);
    CHECK_FAILS(bproc_nodesetstatus(node, "sixteencharacter"), ENOSPC);
    order(node);
}

static void order_about(int node, int other, const char *root, const char *address, int port) {
    struct sockaddr_in master = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    CHECK(inet_pton(AF_INET, address, &master.sin_addr) == 1);
    int own = bproc_currnode();
    CHECK(getuid() == 0 && own >= 0 && own != node && own != other);
    CHECK_FAILS(bproc_nodechroot(node, "tmp"), EINVAL);
    CHECK_FAILS(bproc_nodechroot(node, "/no/such/place"), ENOENT);
    CHECK_FAILS(bproc_nodereboot(node), EPERM);
    CHECK(bproc_nodechroot(node, root) == 0);
    CHECK(bproc_nodechroot(BPROC_NODE_SELF, root) == 0);
    // Each by another connection from here on, this process's own node too.
    struct sockaddr *way = (struct sockaddr *)&master;
    CHECK(bproc_nodereconnect(node, way, sizeof master, NULL, 0) == 0);
    CHECK(bproc_nodereconnect(own, way, sizeof master, NULL, 0) == 0);
    CHECK(strcmp(info_of(node).status, "up") == 0 && strcmp(info_of(own).status, "up") == 0);
    // It is down before the call returns.
    CHECK(bproc_nodehalt(other) == 0 && strcmp(info_of(other).status, "down") == 0);
    CHECK_FAILS(bproc_nodehalt(other), BE_NODEDOWN);
    CHECK_FAILS(bproc_nodechroot(other, root), BE_NODEDOWN);
}

// Ends with the node, or is told that the node has agreed.
static void halt_own_node(void) {
    CHECK(getuid() == 0 && bproc_nodehalt(BPROC_NODE_SELF) == 0);
}

int main(int argc, char *argv[]) {
    if (argc == 5 && strcmp(argv[1], "user") == 0) {
        be_owner(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
    } else if (argc == 4 && strcmp(argv[1], "root") == 0) {
        be_root(atoi(argv[2]), atoi(argv[3]));
    } else if (argc == 7 && strcmp(argv[1], "orders") == 0) {
        order_about(atoi(argv[2]), atoi(argv[3]), argv[4], argv[5], atoi(argv[6]));
    } else if (argc == 2 && strcmp(argv[1], "halt") == 0) {
        halt_own_node();
    } else {
        return 64;
    }
    printf("%d failures\n", failure_count);
    return failure_count > 0;
}
