#define _GNU_SOURCE
#include "include/spawning.h"
#include "cloning.h"
#include "precedence.h"
#include "bp_image.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STAGE_SPAWN = 5 }; /* of bproc_local.h */

struct spawn {
    const struct bp_spawn_plan *plan;
    uint64_t ignored;
    int step;
    int error;
};

static _Noreturn void child_fail(struct spawn *spawn, int step) {
    spawn->error = errno ? errno : EINVAL;
    spawn->step = step;
    for (;;) syscall(SYS_exit, 127);
}

// Whether the process is in exactly these groups. The kernel keeps them sorted, and so they come
// from the caller's socket; another order would only refuse.
static int has_groups(const struct bp_spawn_plan *plan) {
    gid_t own[256];
    if (plan->group_count > sizeof own / sizeof own[0]) return 0;
    int count = getgroups(sizeof own / sizeof own[0], own);
    return count >= 0 && (uint32_t)count == plan->group_count &&
           (count == 0 || memcmp(own, plan->groups, (size_t)count * sizeof own[0]) == 0);
}

// setgroups needs a privilege even where nothing changes, and a slave without one may still run its
// own user's processes.
//
// Group and user follow in the restorer. A child that is the user's can be stopped by the user, and
// as long as it shares the daemon's memory the daemon would wait with it. The list of groups, which
// has no such effect, is set here because it can be long. A raw call, because the C library's
// would change every thread of the memory it finds, which is the daemon's.
static void set_groups(struct spawn *spawn) {
    const struct bp_spawn_plan *plan = spawn->plan;
    if (syscall(SYS_setgroups, (size_t)plan->group_count, plan->groups) == 0) return;
    int error = errno;
    if (error == EPERM && has_groups(plan)) return;
    errno = error;
    child_fail(spawn, BP_STEP_CREDENTIALS);
}

// Descriptors: first everything that is wanted is copied out of the low numbers, then put in its
// place, so no order of the originals can overwrite one that is still needed.
static int place_descriptors(struct spawn *spawn, int image) {
    const struct bp_spawn_plan *plan = spawn->plan;
    const int wanted[6] = {plan->standard_input, plan->standard_output, plan->standard_error,
                           image, plan->status, plan->restorer};
    int copies[6];
    for (int i = 0; i < 6; i++) {
        copies[i] = -1;
        if (wanted[i] < 0) continue;
        copies[i] = fcntl(wanted[i], F_DUPFD, 6);
        if (copies[i] < 0) child_fail(spawn, BP_STEP_DESCRIPTORS);
    }
    for (int i = 0; i < 6; i++) {
        if (copies[i] < 0)
            close(i);
        else if (dup3(copies[i], i, i == 5 ? O_CLOEXEC : 0) < 0)
            child_fail(spawn, BP_STEP_DESCRIPTORS);
    }
    if (syscall(SYS_close_range, 6, ~0u, 0) < 0) child_fail(spawn, BP_STEP_DESCRIPTORS);
    return 5;
}

static void set_limits(struct spawn *spawn) {
    const struct bp_spawn_plan *plan = spawn->plan;
    for (uint32_t i = 0; i < plan->limit_count; i++) {
        struct rlimit limit = {plan->limits[i].soft, plan->limits[i].hard};
        if (syscall(SYS_prlimit64, 0, plan->limits[i].resource, &limit, NULL) == 0) continue;
        // A daemon without privilege cannot raise a hard limit: it gives what it has.
        struct rlimit own;
        if (errno != EPERM ||
            syscall(SYS_prlimit64, 0, plan->limits[i].resource, NULL, &own) < 0)
            child_fail(spawn, BP_STEP_LIMITS);
        limit.rlim_max = own.rlim_max;
        if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
        if (syscall(SYS_prlimit64, 0, plan->limits[i].resource, &limit, NULL) < 0)
            child_fail(spawn, BP_STEP_LIMITS);
    }
}

// exec gives back every action but that of ignored signals. What the daemon ignores it has decided
// before it makes the first process.
static uint64_t ignored_signals(void) {
    static uint64_t signals;
    static int is_known;
    for (int number = 1; number < NSIG && !is_known; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            signals |= (uint64_t)1 << (number - 1);
    }
    is_known = 1;
    return signals;
}

static void reset_signals(uint64_t ignored) {
    const uint64_t usual[4] = {0, 0, 0, 0}; /* the kernel's structure; the first word is SIG_DFL */
    for (; ignored; ignored &= ignored - 1)
        syscall(SYS_rt_sigaction, __builtin_ctzll(ignored) + 1, usual, NULL, 8);
}

// The child's whole life before the restorer. It shares the daemon's memory and runs on a piece of
// the daemon's stack, with every signal blocked; the daemon's thread waits until it execs or ends.
// So nothing here may depend on the user: neither wait for a file of his, nor be his to stop.
static void child_main(void *argument) {
    struct spawn *spawn = argument;
    const struct bp_spawn_plan *plan = spawn->plan;
    errno = 0;
    int image = plan->image;
    if (plan->image_directory >= 0)
        image = openat(plan->image_directory, plan->image_name, O_RDONLY);
    if (image < 0) {
        if (errno == 0) errno = EBADF;
        child_fail(spawn, BP_STEP_IMAGE_FILE);
    }
    int restorer = place_descriptors(spawn, image);
    // Limits come after the descriptors: a small RLIMIT_NOFILE must not hinder the work above.
    set_limits(spawn);
    if ((plan->flags & BP_SPAWN_SET_NICE) && plan->nice < getpriority(PRIO_PROCESS, 0) &&
        setpriority(PRIO_PROCESS, 0, plan->nice) < 0)
        child_fail(spawn, BP_STEP_PRIORITY);
    errno = 0;
    if (plan->flags & BP_SPAWN_SET_UMASK) umask((mode_t)plan->umask);
    if (plan->flags & BP_SPAWN_SET_GROUPS) set_groups(spawn);
    reset_signals(spawn->ignored);
    char *const no_environment[] = {NULL};
    syscall(SYS_execveat, restorer, "", plan->arguments, no_environment, AT_EMPTY_PATH);
    child_fail(spawn, BP_STEP_EXECUTE);
}

long bp_spawn_restored(const struct bp_spawn_plan *plan, int *pidfd,
                       struct bp_spawn_failure *failure) {
    char stack[16384] __attribute__((aligned(64)));
    struct spawn spawn = {.plan = plan, .ignored = ignored_signals()};
    int descriptor = -1;
    struct clone_args arguments;
    memset(&arguments, 0, sizeof arguments);
    arguments.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
    arguments.pidfd = (uint64_t)&descriptor;
    arguments.exit_signal = SIGCHLD;
    arguments.stack = (uint64_t)stack;
    arguments.stack_size = sizeof stack;
    const pid_t wanted = plan->wanted_pid;
    if (wanted > 0) {
        arguments.set_tid = (uint64_t)&wanted;
        arguments.set_tid_size = 1;
    }
    failure->stage = STAGE_SPAWN;
    failure->step = BP_STEP_CLONE;
    if (plan->initial_process >= 0 && setns(plan->initial_process, CLONE_NEWPID) < 0) return -errno;
    uint64_t all = ~(uint64_t)0, old;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
    struct precedence precedence = {.taken = 0};
    if (plan->flags & BP_SPAWN_AT_ONCE) take_precedence(&precedence);
    long pid = clone_beside(&arguments, child_main, &spawn);
    struct scheduling program = {.size = sizeof program, .nice = plan->nice};
    give_precedence_back(&precedence, (pid_t)pid, &program);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
    // A process may always return to the namespace that it is in itself.
    if (plan->initial_process >= 0) (void)setns(plan->own_process, CLONE_NEWPID);
    if (pid < 0) return pid;
    if (spawn.step) {
        while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR) {}
        close(descriptor);
        failure->step = spawn.step;
        return -spawn.error;
    }
    failure->stage = 0;
    failure->step = 0;
    *pidfd = descriptor;
    return pid;
}

long bp_child_open(pid_t pid) {
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

long bp_child_signal(int pidfd, int signal) {
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

long bp_child_wait(int pidfd, int *status) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
        if (errno != EINTR) return -errno;
    if (info.si_code == CLD_EXITED)
        *status = info.si_status << 8;
    else
        *status = info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
    return info.si_pid;
}

long bp_child_effective_user(void) { return (long)geteuid(); }
