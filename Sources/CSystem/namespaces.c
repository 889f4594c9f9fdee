#define _GNU_SOURCE
#include "include/namespaces.h"
#include "cloning.h"
#include "include/process.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct start {
    int restorer;
    int first_pid;
    int own_process;
    int processes;
    int error;
};

static void set(int processes, const char *name, int value) {
    char text[16];
    int length = snprintf(text, sizeof text, "%d", value);
    int file = openat(processes, name, O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    (void)!write(file, text, (size_t)length);
    close(file);
}

// Before Linux 6.14 the highest pid is the machine's; since then, the namespace's own.
static void set_range(int processes, int first_pid) {
    const int highest = 1 << 22; /* PID_MAX_LIMIT */
    set(processes, "sys/kernel/pid_max", highest);
    set(processes, "sys/kernel/ns_last_pid", first_pid - 1);
}

// Runs in the namespace, with the memory and the descriptors of the caller.
static void initial_main(void *argument) {
    struct start *start = argument;
    char *const arguments[] = {"bproc-init", "I", NULL}, *const environment[] = {NULL};
    struct pollfd caller = {.fd = start->own_process, .events = POLLIN};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    // A caller that has ended before that will send no signal.
    if (poll(&caller, 1, 0) != 0) {
        for (;;) syscall(SYS_exit, 1);
    }
    long processes = bp_mount_processes();
    if (processes >= 0) {
        start->processes = (int)processes;
        set_range(start->processes, start->first_pid);
    }
    syscall(SYS_execveat, start->restorer, "", arguments, environment, AT_EMPTY_PATH);
    start->error = errno;
    for (;;) syscall(SYS_exit, 1);
}

static long clone_initial(struct start *start, int *pidfd) {
    char stack[16384] __attribute__((aligned(64)));
    struct clone_args arguments;
    memset(&arguments, 0, sizeof arguments);
    arguments.flags = CLONE_NEWPID | CLONE_VM | CLONE_FILES | CLONE_VFORK | CLONE_PIDFD;
    arguments.pidfd = (uint64_t)pidfd;
    arguments.exit_signal = SIGCHLD;
    arguments.stack = (uint64_t)stack;
    arguments.stack_size = sizeof stack;
    uint64_t all = ~(uint64_t)0, old;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
    long pid = clone_beside(&arguments, initial_main, start);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
    return pid;
}

long bp_start_pid_namespace(int32_t restorer, int32_t first_pid, struct bp_pid_namespace *result) {
    struct start start = {.restorer = restorer, .first_pid = first_pid, .processes = -1};
    int initial = -1;
    start.own_process = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (start.own_process < 0) return -errno;
    long pid = clone_initial(&start, &initial);
    if (pid < 0) start.error = (int)-pid;
    if (!start.error && (setns(initial, CLONE_NEWPID) < 0 ||
                         setns(start.own_process, CLONE_NEWPID) < 0))
        start.error = errno;
    if (!start.error) {
        *result = (struct bp_pid_namespace){initial, start.own_process, start.processes};
        return pid;
    }
    if (initial >= 0) {
        (void)syscall(SYS_pidfd_send_signal, initial, SIGKILL, NULL, 0);
        while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR) {}
        close(initial);
    }
    if (start.processes >= 0) close(start.processes);
    close(start.own_process);
    return -start.error;
}
