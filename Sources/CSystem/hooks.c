#define _GNU_SOURCE
#include "include/hooks.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int prepare(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions, int log) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!error) error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error) error = posix_spawnattr_setsigdefault(attributes, &all);
    if (!error) error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(actions, log, 1);
    if (!error) error = posix_spawn_file_actions_adddup2(actions, log, 2);
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    return error;
}

long bp_start_supervisor(const char *const *arguments, const char *const *environment, int log,
                         int *pidfd) {
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int error = posix_spawnattr_init(&attributes);
    if (error) return -error;
    error = posix_spawn_file_actions_init(&actions);
    if (!error) {
        error = prepare(&attributes, &actions, log);
        if (!error) {
            error = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes,
                                (char *const *)(uintptr_t)arguments,
                                (char *const *)(uintptr_t)environment);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attributes);
    if (error) return -error;
    // The child is not reaped yet, so the number is still its own.
    *pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (*pidfd >= 0) return pid;
    error = errno;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -error;
}

// Kills the children, whose own children then become the caller's, until there are none.
static void end_descendants(void) {
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    for (;;) {
        FILE *children = fopen(path, "re");
        int child, count = 0;
        while (children && fscanf(children, "%d", &child) == 1) {
            kill(child, SIGKILL);
            count++;
        }
        if (children) fclose(children);
        if (waitpid(-1, NULL, count ? 0 : WNOHANG) < 0 && errno == ECHILD) return;
        // Without the list there is only what has stayed in the session's process group.
        if (!children) {
            signal(SIGTERM, SIG_IGN);
            kill(0, SIGKILL);
        }
    }
}

static int status_code(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int bp_supervise(const char *const *arguments, int32_t parent) {
    sigset_t watched, before;
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGCHLD);
    sigprocmask(SIG_BLOCK, &watched, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    // The daemon's priority is its own.
    setpriority(PRIO_PROCESS, 0, 0);
    if (getppid() != parent) return 143;
    pid_t hook = fork();
    if (hook == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        execv(arguments[0], (char *const *)(uintptr_t)arguments);
        (void)dprintf(2, "%s: %s\n", arguments[0], strerror(errno));
        _exit(127);
    }
    if (hook < 0) return 127;
    for (;;) {
        int number = sigwaitinfo(&watched, NULL), status;
        if (number == SIGTERM) {
            end_descendants();
            return 143;
        }
        for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
            if (ended == hook) return status_code(status);
        }
    }
}

long bp_open_log(const char *path, uint64_t byte_limit) {
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) &&
        (uint64_t)status.st_size > byte_limit) {
        char *old;
        if (asprintf(&old, "%s.old", path) < 0) return -ENOMEM;
        int result = rename(path, old);
        free(old);
        if (result < 0) return -errno;
    }
    int file =
        open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    return file < 0 ? -errno : file;
}
