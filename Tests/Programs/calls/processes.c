/* The process space: its list, its signals, what its processes do. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static char shell[] = "/bin/sh";
static char option[] = "-c";
static int nodes[] = {0, 1, 1};
static int pids[3];

/* Starts a script three times, as children of the caller. */
static void start(const char *script) {
    char *arguments[4];
    char *environment[1];
    arguments[0] = shell;
    arguments[1] = option;
    arguments[2] = (char *)script;
    arguments[3] = environment[0] = NULL;
    CHECK(bproc_vexecmove(3, nodes, pids, shell, arguments, environment) == 3);
    for (int i = 0; i < 3; i++) CHECK(pids[i] > 0);
}

/* The signal that ended a child; 0: it exited. */
static int end_of(int pid) {
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void end_all(void) {
    CHECK(bproc_killjob(pids[0], SIGKILL) == 0);
    for (int i = 0; i < 3; i++) CHECK(end_of(pids[i]) == SIGKILL);
}

/* How many of the three a list has on their nodes; entries of others are looked at by nobody. */
static int count_own(const struct bproc_proc_info_t *list, int count) {
    int own = 0;
    for (int i = 0; i < count; i++) {
        for (int rank = 0; rank < 3; rank++) {
            if (list[i].pid == pids[rank]) {
                CHECK(list[i].node == nodes[rank]);
                own++;
            }
        }
    }
    return own;
}

static void list_processes(void) {
    struct bproc_proc_info_t *list = NULL;
    int count;
    CHECK_FAILS(bproc_proclist(0, NULL), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_proclist(BPROC_NODE_ANY, &list), EBUSY);
        return;
    }
    CHECK_FAILS(bproc_proclist(3, &list), BE_INVALIDNODE);
    CHECK_FAILS(bproc_proclist(-7, &list), BE_INVALIDNODE);
    CHECK(bproc_proclist(2, &list) == 0 && list == NULL);
    CHECK(bproc_proclist(BPROC_NODE_MASTER, &list) == 0 && list == NULL);
    start("exec sleep 1000");
    count = bproc_proclist(BPROC_NODE_ANY, &list);
    CHECK(count >= 3 && count_own(list, count) == 3);
    free(list);
    count = bproc_proclist(1, &list);
    CHECK(count >= 2 && count_own(list, count) == 2);
    free(list);
    end_all();
    count = bproc_proclist(BPROC_NODE_ANY, &list);
    CHECK(count >= 0 && count_own(list, count) == 0);
    free(list);
}

static void find_node(void) {
    CHECK_FAILS(bproc_pidnode(0), EINVAL);
    if (!has_cluster) {
        CHECK_FAILS(bproc_pidnode(1), EBUSY);
        return;
    }
    CHECK_FAILS(bproc_pidnode((int)getpid()), ESRCH);
    start("exec sleep 1000");
    for (int i = 0; i < 3; i++) CHECK(bproc_pidnode(pids[i]) == nodes[i]);
    end_all();
    CHECK_FAILS(bproc_pidnode(pids[0]), ESRCH);
}

static void find_lost(void) {
    CHECK_FAILS(bproc_lostnode(0), EINVAL);
    if (!has_cluster) {
        CHECK_FAILS(bproc_lostnode(1), EBUSY);
        return;
    }
    start("exec sleep 1000");
    CHECK_FAILS(bproc_lostnode(pids[0]), ESRCH);
    end_all();
    // Killed, but not by the death of its node.
    CHECK_FAILS(bproc_lostnode(pids[0]), ESRCH);
}

static void find_cause(void) {
    CHECK_FAILS(bproc_lostcause(0), EINVAL);
    if (!has_cluster) {
        CHECK_FAILS(bproc_lostcause(1), EBUSY);
        return;
    }
    start("exec sleep 1000");
    CHECK_FAILS(bproc_lostcause(pids[0]), ESRCH);
    end_all();
    CHECK_FAILS(bproc_lostcause(pids[0]), ESRCH);
}

static void send_signals(void) {
    if (!has_cluster) {
        CHECK_FAILS(bproc_kill(1, 0), EBUSY);
        return;
    }
    CHECK_FAILS(bproc_kill(0, SIGTERM), EINVAL);
    CHECK_FAILS(bproc_kill(-1, SIGTERM), EINVAL);
    CHECK_FAILS(bproc_kill((int)getpid(), 0), ESRCH);
    start("exec sleep 1000");
    CHECK_FAILS(bproc_kill(pids[0], -1), EINVAL);
    CHECK_FAILS(bproc_kill(pids[0], 65), EINVAL);
    CHECK(bproc_kill(pids[0], 0) == 0);
    CHECK(bproc_kill(pids[0], SIGTERM) == 0);
    CHECK(end_of(pids[0]) == SIGTERM);
    CHECK_FAILS(bproc_kill(pids[0], SIGTERM), ESRCH);
    CHECK(bproc_kill(pids[1], SIGINT) == 0 && bproc_kill(pids[2], SIGKILL) == 0);
    CHECK(end_of(pids[1]) == SIGINT && end_of(pids[2]) == SIGKILL);
}

static void send_to_job(void) {
    if (!has_cluster) {
        CHECK_FAILS(bproc_killjob(1, 0), EBUSY);
        return;
    }
    CHECK_FAILS(bproc_killjob(0, SIGTERM), EINVAL);
    CHECK_FAILS(bproc_killjob((int)getpid(), 0), ESRCH);
    start("exec sleep 1000");
    CHECK(bproc_killjob(pids[1], 0) == 0);
    CHECK(bproc_killjob(pids[2], SIGHUP) == 0);
    for (int i = 0; i < 3; i++) CHECK(end_of(pids[i]) == SIGHUP);
}

/* The rank of this launch that an entry is about; -1: none. */
static int rank_of(const struct bproc_process_status *entry) {
    for (int rank = 0; rank < 3; rank++) {
        if (entry->pid == pids[rank]) return rank;
    }
    return -1;
}

/* How many ranks have become the program that they execute: until then the kernel may say that they
   have no memory, and belong to root. */
static int settled_count(const struct bproc_process_status *list, int count) {
    int settled = 0;
    for (int i = 0; i < count; i++) {
        settled += rank_of(&list[i]) >= 0 && list[i].user == getuid() &&
                   list[i].resident_bytes > 4096;
    }
    return settled;
}

static void ask_what_they_do(void) {
    struct bproc_process_status *list = NULL;
    int count, own = 0;
    CHECK_FAILS(bproc_processstatus(0, 1000, NULL), EFAULT);
    CHECK_FAILS(bproc_processstatus(0, 0, &list), EINVAL);
    CHECK_FAILS(bproc_processstatus(0, 20001, &list), EINVAL);
    if (!has_cluster) {
        CHECK_FAILS(bproc_processstatus(BPROC_NODE_ANY, 1000, &list), EBUSY);
        return;
    }
    CHECK_FAILS(bproc_processstatus(3, 1000, &list), BE_INVALIDNODE);
    CHECK_FAILS(bproc_processstatus(2, 1000, &list), BE_NODEDOWN);
    CHECK(list == NULL);
    start("exec sleep 1000");
    count = bproc_processstatus(BPROC_NODE_ANY, 20000, &list);
    for (int tries = 0; tries < 200 && settled_count(list, count) < 3; tries++) {
        struct timespec pause;
        pause.tv_sec = 0;
        pause.tv_nsec = 50000000;
        free(list);
        list = NULL;
        nanosleep(&pause, NULL);
        count = bproc_processstatus(BPROC_NODE_ANY, 20000, &list);
    }
    CHECK(settled_count(list, count) == 3);
    for (int i = 0; i < count; i++) {
        int rank = rank_of(&list[i]);
        if (rank < 0) continue;
        own++;
        CHECK(list[i].node == nodes[rank] && list[i].rank == rank && list[i].error == 0);
        CHECK(list[i].local_pid > 0 && list[i].job > 0);
    }
    CHECK(own == 3);
    free(list);
    end_all();
}

static void read_book(void) {
    char *text = NULL;
    CHECK_FAILS(bproc_debug(BPROC_NODE_ANY, NULL), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_debug(BPROC_NODE_ANY, &text), EBUSY);
        return;
    }
    if (getuid() != 0) {
        CHECK_FAILS(bproc_debug(BPROC_NODE_ANY, &text), EPERM);
        CHECK_FAILS(bproc_debug(0, &text), EPERM);
        return;
    }
    CHECK(bproc_debug(BPROC_NODE_ANY, &text) == 0 && strstr(text, "launches: ") != NULL);
    free(text);
    CHECK(bproc_debug(0, &text) == 0 && strstr(text, "rank processes: ") != NULL);
    free(text);
    CHECK_FAILS(bproc_debug(2, &text), BE_NODEDOWN);
    CHECK_FAILS(bproc_debug(3, &text), BE_INVALIDNODE);
}

static void read_metrics(void) {
    char *text = NULL;
    CHECK_FAILS(bproc_metrics(NULL), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_metrics(&text), EBUSY);
        return;
    }
    CHECK(bproc_metrics(&text) == 0 && strstr(text, "\nbproc_launches_begun_total ") != NULL);
    free(text);
}

const struct test_case process_cases[] = {
    {"bproc_proclist", list_processes},
    {"bproc_pidnode", find_node},
    {"bproc_lostnode", find_lost},
    {"bproc_lostcause", find_cause},
    {"bproc_kill", send_signals},
    {"bproc_killjob", send_to_job},
    {"bproc_processstatus", ask_what_they_do},
    {"bproc_debug", read_book},
    {"bproc_metrics", read_metrics},
    {NULL, NULL},
};
