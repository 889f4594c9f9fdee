/* What administrators say of nodes. Every case leaves the nodes as it found them. */
#define _DEFAULT_SOURCE
#include "calls.h"

#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { USER = 54321, OWN_GROUP = 54322, OTHER_GROUP = 54323 };

static struct bproc_node_info_t info_of(int node) {
    struct bproc_node_info_t info;
    memset(&info, 0, sizeof info);
    CHECK(bproc_nodeinfo(node, &info) == 0);
    return info;
}

/* Runs as a user with a group of his own beside his first. */
static void as_user(void (*body)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        gid_t groups[] = {OWN_GROUP};
        CHECK(setgroups(1, groups) == 0 && setgid(USER) == 0 && setuid(USER) == 0);
        body();
        fflush(stdout);
        _exit(failure_count > 0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void change_mode_as_owner(void) {
    CHECK(bproc_chmod(0, 0100) == 0);
    CHECK(info_of(0).mode == 0100);
    CHECK_FAILS(bproc_chmod(1, 0111), EPERM);
}

static void change_mode(void) {
    if (!has_cluster) {
        CHECK_FAILS(bproc_chmod(0, 0111), EBUSY);
        return;
    }
    if (getuid() != 0) {
        CHECK_FAILS(bproc_chmod(0, 0111), EPERM);
        return;
    }
    CHECK(bproc_chmod(0, 0101) == 0);
    CHECK(info_of(0).mode == 0101 && info_of(1).mode == 0111);
    CHECK_FAILS(bproc_chmod(0, 0755), EPERM);
    CHECK_FAILS(bproc_chmod(0, -1), EPERM);
    CHECK_FAILS(bproc_chmod(2, 0111), EPERM);
    CHECK_FAILS(bproc_chmod(3, 0111), BE_INVALIDNODE);
    CHECK_FAILS(bproc_chmod(BPROC_NODE_MASTER, 0111), BE_INVALIDNODE);
    CHECK(bproc_chown(0, USER) == 0);
    as_user(change_mode_as_owner);
    CHECK(bproc_chown(0, 0) == 0);
    CHECK(bproc_chmod(0, 0111) == 0);
}

static void change_owner_as_owner(void) {
    CHECK_FAILS(bproc_chown(0, USER), EPERM);
    CHECK_FAILS(bproc_chown(1, USER), EPERM);
}

static void change_owner(void) {
    if (!has_cluster) {
        CHECK_FAILS(bproc_chown(0, 0), EBUSY);
        return;
    }
    if (getuid() != 0) {
        CHECK_FAILS(bproc_chown(0, (int)getuid()), EPERM);
        return;
    }
    CHECK(bproc_chown(0, USER) == 0);
    CHECK(info_of(0).user == USER && info_of(1).user == 0);
    as_user(change_owner_as_owner);
    CHECK(bproc_chown(0, 0) == 0);
    CHECK_FAILS(bproc_chown(2, USER), EPERM);
    CHECK_FAILS(bproc_chown(99, USER), BE_INVALIDNODE);
}

static void change_group_as_owner(void) {
    CHECK(bproc_chgrp(0, USER) == 0);
    CHECK(bproc_chgrp(0, OWN_GROUP) == 0);
    CHECK(info_of(0).group == OWN_GROUP);
    CHECK_FAILS(bproc_chgrp(0, OTHER_GROUP), EPERM);
    CHECK_FAILS(bproc_chgrp(1, OWN_GROUP), EPERM);
}

static void change_group(void) {
    if (!has_cluster) {
        CHECK_FAILS(bproc_chgrp(0, 0), EBUSY);
        return;
    }
    if (getuid() != 0) {
        CHECK_FAILS(bproc_chgrp(0, (int)getgid()), EPERM);
        return;
    }
    CHECK(bproc_chgrp(0, OTHER_GROUP) == 0);
    CHECK(info_of(0).group == OTHER_GROUP);
    CHECK(bproc_chown(0, USER) == 0);
    as_user(change_group_as_owner);
    CHECK(bproc_chown(0, 0) == 0);
    CHECK(bproc_chgrp(0, 0) == 0);
    CHECK_FAILS(bproc_chgrp(2, 0), EPERM);
    CHECK_FAILS(bproc_chgrp(-7, 0), BE_INVALIDNODE);
}

static void set_state(void) {
    char status[BPROC_STATE_LEN + 1];
    CHECK_FAILS(bproc_nodesetstatus(0, NULL), EFAULT);
    CHECK_FAILS(bproc_nodesetstatus(0, "sixteencharacter"), ENOSPC);
    if (!has_cluster) {
        CHECK_FAILS(bproc_nodesetstatus(0, "up"), EBUSY);
        return;
    }
    if (getuid() != 0) {
        CHECK_FAILS(bproc_nodesetstatus(0, "up"), EPERM);
        return;
    }
    CHECK(bproc_nodesetstatus(0, "fifteenLetters0") == 0);
    CHECK(bproc_nodestatus(0, status, sizeof status) == 15);
    CHECK(strcmp(status, "fifteenLetters0") == 0);
    CHECK_FAILS(bproc_nodesetstatus(0, "not one"), EINVAL);
    CHECK_FAILS(bproc_nodesetstatus(0, ""), EINVAL);
    CHECK(bproc_nodesetstatus(0, "up") == 0);
    CHECK_FAILS(bproc_nodesetstatus(2, "up"), EINVAL);
    CHECK(bproc_nodesetstatus(2, "down") == 0);
    CHECK_FAILS(bproc_nodesetstatus(3, "up"), BE_INVALIDNODE);
    CHECK_FAILS(bproc_nodesetstatus(BPROC_NODE_MASTER, "up"), BE_INVALIDNODE);
}

static void set_attributes(void) {
    char value[64];
    char long_name[BPROC_XATTR_MAX_NAME_SIZE + 2];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    memset(value, 'v', sizeof value);
    CHECK_FAILS(bproc_setnodeattr(0, NULL, "x", 1), EFAULT);
    CHECK_FAILS(bproc_setnodeattr(0, "cpus", NULL, 1), EFAULT);
    CHECK_FAILS(bproc_setnodeattr(0, "cpus", "x", -1), EINVAL);
    CHECK_FAILS(bproc_setnodeattr(0, "cpus", value, BPROC_XATTR_MAX_VALUE_SIZE + 1), ENOSPC);
    CHECK_FAILS(bproc_setnodeattr(0, long_name, "x", 1), ENOSPC);
    CHECK_FAILS(bproc_getnodeattr(0, long_name, value, 64), ENODATA);
    if (!has_cluster) {
        CHECK_FAILS(bproc_setnodeattr(0, "cpus", "x", 1), EBUSY);
        return;
    }
    if (getuid() != 0) {
        CHECK_FAILS(bproc_setnodeattr(0, "cpus", "x", 1), EPERM);
        return;
    }
    long_name[BPROC_XATTR_MAX_NAME_SIZE] = 0;
    CHECK(bproc_setnodeattr(0, long_name, value, sizeof value) == 0);
    memset(value, 0, sizeof value);
    CHECK(bproc_getnodeattr(0, long_name, value, sizeof value) == sizeof value);
    CHECK(value[0] == 'v' && value[63] == 'v');
    CHECK_FAILS(bproc_getnodeattr(0, long_name, value, 63), ERANGE);
    CHECK(bproc_setnodeattr(0, "cpus", "16", 3) == 0);
    CHECK(bproc_setnodeattr(0, "cpus", "8", 2) == 0);
    CHECK(bproc_getnodeattr(0, "cpus", value, 64) == 2 && strcmp(value, "8") == 0);
    CHECK_FAILS(bproc_getnodeattr(1, "cpus", value, 64), ENODATA);
    CHECK_FAILS(bproc_setnodeattr(0, "addr", value, 4), EPERM);
    CHECK(bproc_setnodeattr(0, "state", "error", 5) == 0);
    CHECK(bproc_getnodeattr(0, "state", value, 64) == 5 && strcmp(value, "error") == 0);
    CHECK(bproc_nodesetstatus(0, "up") == 0);
    CHECK_FAILS(bproc_setnodeattr(2, "cpus", "x", 1), ENODATA);
    CHECK_FAILS(bproc_setnodeattr(3, "cpus", "x", 1), BE_INVALIDNODE);
}

static int is_readable(int descriptor, int milliseconds) {
    struct pollfd entry = {descriptor, POLLIN, 0};
    return poll(&entry, 1, milliseconds) == 1 && (entry.revents & POLLIN);
}

static void read_bytes(int descriptor, void *bytes, size_t count) {
    char *place = (char *)bytes;
    while (count > 0) {
        ssize_t got = read(descriptor, place, count);
        CHECK(got > 0);
        if (got <= 0) return;
        place += got;
        count -= (size_t)got;
    }
}

/* As programs do that treat the descriptor as a file. */
static void read_the_table(int notifier) {
    struct bproc_node_info_t entries[3];
    uint32_t heading[2] = {0, 0};
    CHECK(bproc_chmod(0, 0010) == 0);
    CHECK(is_readable(notifier, 60000));
    read_bytes(notifier, heading, sizeof heading);
    CHECK(heading[0] == sizeof entries);
    if (heading[0] != sizeof entries) return;
    read_bytes(notifier, entries, sizeof entries);
    CHECK(entries[0].node == 0 && entries[0].mode == 0010);
    CHECK(strcmp(entries[0].status, "up") == 0 && entries[0].addr.sa_family == 2);
    CHECK(strcmp(entries[2].status, "down") == 0 && entries[2].addr.sa_family == 0);
    CHECK(bproc_chmod(0, 0111) == 0);
    CHECK(is_readable(notifier, 60000));
}

static void watch(void) {
    struct bproc_node_set_t set = BPROC_EMPTY_NODESET;
    int notifier = bproc_notifier();
    if (!has_cluster) {
        CHECK(notifier == -1 && errno == EBUSY);
        return;
    }
    CHECK(notifier >= 0);
    CHECK(!is_readable(notifier, 0));
    CHECK(bproc_nodelist_(&set, notifier) == 3);
    CHECK(set.node[1].node == 1 && strcmp(set.node[2].status, "down") == 0);
    bproc_nodeset_free(&set);
    CHECK(!is_readable(notifier, 0));
    if (getuid() == 0) {
        for (int i = 0; i < 50; i++) {
            int mode = i % 2 ? 0111 : 0101;
            CHECK(bproc_chmod(0, mode) == 0);
            CHECK(is_readable(notifier, 60000));
            CHECK(bproc_nodelist_(&set, notifier) == 3);
            CHECK((int)set.node[0].mode == mode);
            bproc_nodeset_free(&set);
        }
        read_the_table(notifier);
        CHECK(bproc_nodelist_(&set, notifier) == 3);
        CHECK(set.node[0].mode == 0111);
        bproc_nodeset_free(&set);
    }
    CHECK(close(notifier) == 0);
}

static void list_through_notifier(void) {
    struct bproc_node_set_t set = BPROC_EMPTY_NODESET;
    int ends[2];
    CHECK_FAILS(bproc_nodelist_(NULL, 0), EFAULT);
    CHECK_FAILS(bproc_nodelist_(&set, -1), EBADF);
    CHECK(pipe(ends) == 0);
    CHECK_FAILS(bproc_nodelist_(&set, ends[1]), ENOTSOCK);
    CHECK(set.size == 0 && set.node == NULL);
    close(ends[0]);
    close(ends[1]);
}

/* The nodes of the tests allow none of this: cases with other slaves are in ControlTests.swift. */
#define CHECK_ORDER(order)                                                                         \
    do {                                                                                           \
        int node = 0;                                                                              \
        CHECK_FAILS(order, has_cluster ? EPERM : EBUSY);                                           \
        if (!has_cluster || getuid() != 0) break;                                                  \
        CHECK(strstr(bproc_reason(), "--allow-") != NULL);                                         \
        node = 2;                                                                                  \
        CHECK_FAILS(order, BE_NODEDOWN);                                                           \
        node = 3;                                                                                  \
        CHECK_FAILS(order, BE_INVALIDNODE);                                                        \
        node = BPROC_NODE_MASTER;                                                                  \
        CHECK_FAILS(order, BE_INVALIDNODE);                                                        \
    } while (0)

static void change_root(void) {
    static char path[5000];
    CHECK_FAILS(bproc_nodechroot(0, NULL), EFAULT);
    memset(path, '/', sizeof path - 1);
    CHECK_FAILS(bproc_nodechroot(0, path), ENAMETOOLONG);
    CHECK_ORDER(bproc_nodechroot(node, "/tmp"));
    if (has_cluster && getuid() == 0) CHECK_FAILS(bproc_nodechroot(0, "tmp"), EINVAL);
}

static void reboot_node(void) { CHECK_ORDER(bproc_nodereboot(node)); }
static void halt_node(void) { CHECK_ORDER(bproc_nodehalt(node)); }
static void power_off_node(void) { CHECK_ORDER(bproc_nodepwroff(node)); }

static void reconnect_node(void) {
    struct sockaddr_in master, own;
    memset(&master, 0, sizeof master);
    memset(&own, 0, sizeof own);
    struct sockaddr *remote = (struct sockaddr *)&master, *local = (struct sockaddr *)&own;
    int size = sizeof master;
    CHECK_FAILS(bproc_nodereconnect(0, NULL, size, NULL, 0), EFAULT);
    CHECK_FAILS(bproc_nodereconnect(0, remote, size, NULL, 0), EINVAL);
    master.sin_family = AF_UNIX;
    CHECK_FAILS(bproc_nodereconnect(0, remote, size, NULL, 0), EINVAL);
    master.sin_family = AF_INET;
    /* TEST-NET-3: an address of nobody. */
    master.sin_addr.s_addr = htonl(0xcb007101);
    CHECK_FAILS(bproc_nodereconnect(0, remote, size, NULL, 0), EINVAL);
    master.sin_port = htons(2223);
    CHECK_FAILS(bproc_nodereconnect(0, remote, size - 1, NULL, 0), EINVAL);
    CHECK_FAILS(bproc_nodereconnect(0, remote, size, local, size), EINVAL);
    int node = 0;
    CHECK_FAILS(
        bproc_nodereconnect(node, remote, size, NULL, 0), has_cluster ? EPERM : EBUSY);
    if (!has_cluster || getuid() != 0) return;
    /* The slaves of the tests keep to the loopback network. */
    CHECK(strstr(bproc_reason(), "--insecure-no-authentication") != NULL);
    CHECK_FAILS(bproc_nodereconnect(2, remote, size, NULL, 0), BE_NODEDOWN);
    CHECK_FAILS(bproc_nodereconnect(3, remote, size, NULL, 0), BE_INVALIDNODE);
    CHECK_FAILS(bproc_nodereconnect(BPROC_NODE_MASTER, remote, size, NULL, 0), BE_INVALIDNODE);
    /* Port 1 of loopback: nobody listens, and the node stays where it was. */
    master.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    master.sin_port = htons(1);
    CHECK_FAILS(bproc_nodereconnect(0, remote, size, NULL, 0), ECONNREFUSED);
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(0xcb007102);
    CHECK_FAILS(bproc_nodereconnect(0, remote, size, local, size), EADDRNOTAVAIL);
    CHECK(strcmp(info_of(0).status, "up") == 0);
}

/* Whether the list has these names and no others. */
static int lists(const char *first, const char *second) {
    char *list = NULL, *next;
    CHECK(bproc_liblist(&list) == 0);
    if (!list) return 0;
    next = list;
    int same = 1;
    const char *names[2];
    names[0] = first;
    names[1] = second;
    for (int i = 0; i < 2 && names[i]; i++) {
        same = same && strcmp(next, names[i]) == 0;
        next += strlen(next) + 1;
    }
    same = same && *next == 0;
    free(list);
    return same;
}

static void add_as_user(void) {
    CHECK_FAILS(bproc_libadd("c"), EPERM);
    CHECK_FAILS(bproc_libdel("a"), EPERM);
    CHECK_FAILS(bproc_libclear(), EPERM);
    CHECK(lists("a", "b"));
}

static void libraries(void) {
    CHECK_FAILS(bproc_liblist(NULL), EFAULT);
    CHECK_FAILS(bproc_libadd(NULL), EFAULT);
    CHECK_FAILS(bproc_libdel(NULL), EFAULT);
    if (!has_cluster) {
        char *list;
        CHECK_FAILS(bproc_liblist(&list), EBUSY);
        CHECK_FAILS(bproc_libadd("a"), EBUSY);
        return;
    }
    if (getuid() != 0) {
        CHECK_FAILS(bproc_libadd("a"), EPERM);
        return;
    }
    CHECK(bproc_libclear() == 0 && lists(NULL, NULL));
    CHECK(bproc_libadd("a") == 0 && bproc_libadd("b") == 0 && bproc_libadd("a") == 0);
    CHECK(lists("a", "b"));
    as_user(add_as_user);
    CHECK_FAILS(bproc_libadd(""), EINVAL);
    CHECK_FAILS(bproc_libdel("c"), ENOENT);
    CHECK(bproc_libdel("a") == 0 && lists("b", NULL));
    CHECK(bproc_libclear() == 0 && lists(NULL, NULL));
}

const struct test_case administration_cases[] = {
    {"bproc_chmod", change_mode},
    {"bproc_chown", change_owner},
    {"bproc_chgrp", change_group},
    {"bproc_nodesetstatus", set_state},
    {"bproc_setnodeattr", set_attributes},
    {"bproc_nodechroot", change_root},
    {"bproc_nodereboot", reboot_node},
    {"bproc_nodehalt", halt_node},
    {"bproc_nodepwroff", power_off_node},
    {"bproc_nodereconnect", reconnect_node},
    {"bproc_notifier", watch},
    {"bproc_nodelist_", list_through_notifier},
    {"bproc_libclear", libraries},
    {"bproc_libadd", libraries},
    {"bproc_libdel", libraries},
    {"bproc_liblist", libraries},
    {NULL, NULL},
};
