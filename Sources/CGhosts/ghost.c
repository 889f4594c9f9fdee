// What the holder and the ghosts do between clone and death. They share the server's memory, so
// there is no C library here: errno and every lock in it are the server's.
#define _GNU_SOURCE
#include "include/ghosts.h"

#include "bp_calls.h"
#include "group.h"
#include "homecoming.h"

#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void wait_while(uint32_t *word, uint32_t value) {
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
        (void)raw_call(SYS_futex, (long)word, FUTEX_WAIT, value, 0, 0);
    }
}

static void set_and_wake(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    (void)raw_call(SYS_futex, (long)word, FUTEX_WAKE, 1, 0, 0);
}

static bool has_ended(int pidfd) {
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    return raw_call(SYS_poll, (long)&entry, 1, 0, 0, 0) == 1;
}

static _Noreturn void end(int status) {
    for (;;) (void)raw_call(SYS_exit_group, status, 0, 0, 0, 0);
}

// A ghost ends with the server that traces it. One that is not traced yet has to look for itself.
static void wait_for_server(struct ghost *ghost) {
    const struct timespec a_while = {.tv_sec = 1};
    while (__atomic_load_n(&ghost->order, __ATOMIC_ACQUIRE) == ORDER_WAIT) {
        (void)raw_call(SYS_futex, (long)&ghost->order, FUTEX_WAIT, ORDER_WAIT, (long)&a_while, 0);
        if (has_ended(ghost->group->server_end)) end(0);
    }
}

// Does what the orders say until one of them is to end.
static void live(struct ghost *ghost) {
    for (;;) {
        uint32_t order = __atomic_load_n(&ghost->order, __ATOMIC_ACQUIRE);
        struct bproc_local_homecoming *home = ghost->group->home;
        if (order == ORDER_END) return;
        if (order == ORDER_GO) bp_go_home(home);
        if (order == ORDER_COME && home->state == 0) {
            bp_come_home(home, (int32_t)ghost->group->server);
        } else {
            (void)raw_call(SYS_futex, (long)&ghost->order, FUTEX_WAIT, order, 0, 0);
        }
    }
}

static void ghost_main(void *argument) {
    struct ghost *ghost = argument;
    struct bp_ghost_group *group = ghost->group;
    const uint64_t none = 0;
    // Where Yama lets only ancestors trace; elsewhere the call does not exist.
    (void)raw_call(SYS_prctl, PR_SET_PTRACER, group->server, 0, 0, 0);
    __atomic_store_n(&ghost->has_begun, 1, __ATOMIC_RELEASE);
    wait_for_server(ghost);
    (void)raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof none, 0);
    live(ghost);
    int number = WTERMSIG(ghost->status);
    if (number == 0) end(WEXITSTATUS(ghost->status));
    // The server lets this signal through, and only this one.
    (void)raw_call(SYS_kill, raw_call(SYS_getpid, 0, 0, 0, 0, 0), number, 0, 0, 0);
    end(128 + number);
}

static void make_ghosts(struct bp_ghost_group *group) {
    // A table without descriptors, shared by all. The exit signal is the holder's business until
    // the caller is the parent; the kernel then makes it SIGCHLD in any case.
    const unsigned long flags = CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD;
    uint32_t made = 0;
    while (made < group->count) {
        struct ghost *ghost = &group->ghosts[made];
        ghost->group = group;
        unsigned char *stack_end = group->stacks + (size_t)(made + 1) * GHOST_STACK_BYTES;
        long pid = raw_clone(flags, stack_end, ghost_main, ghost);
        if (pid < 0) {
            group->error = (int32_t)-pid;
            break;
        }
        ghost->pid = (int32_t)pid;
        made++;
    }
    group->made_count = made;
}

static void reap(struct bp_ghost_group *group) {
    if (group->own) return;
    for (uint32_t i = 0; i < group->made_count; i++) {
        struct ghost *ghost = &group->ghosts[i];
        if (!ghost->is_dropped || ghost->is_reaped) continue;
        (void)raw_call(SYS_wait4, ghost->pid, 0, __WALL, 0, 0);
        ghost->is_reaped = true;
    }
}

void bp_ghost_holder_main(void *argument) {
    struct bp_ghost_group *group = argument;
    // The C library's note that this thread has ended would go into the server's memory.
    (void)raw_call(SYS_set_tid_address, 0, 0, 0, 0, 0);
    (void)raw_call(SYS_close_range, 0, ~0u, 0, 0, 0);
    // The process between this one and the server.
    (void)raw_call(SYS_wait4, -1, 0, __WALL, 0, 0);
    const struct rlimit none = {0, 0};
    (void)raw_call(SYS_prlimit64, 0, RLIMIT_CORE, (long)&none, 0, 0);
    // What is made from here on has the ranks' name from birth.
    (void)raw_call(SYS_prctl, PR_SET_NAME, (long)group->name, 0, 0, 0);
    wait_while(&group->server, 0);
    group->server_end = (int32_t)raw_call(SYS_pidfd_open, group->server, 0, 0, 0, 0);
    // A server that has been killed already would never be seen to end.
    if (group->server_end < 0) end(1);
    if (group->own) group->made_count = 1;
    else make_ghosts(group);
    set_and_wake(&group->made, 1);
    for (uint32_t done = 0;; done++) {
        wait_while(&group->drop, done);
        reap(group);
        set_and_wake(&group->dropped, done + 1);
    }
}
