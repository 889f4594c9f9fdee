// The server's side: it splits itself off, traces the ghosts and tells them how to end.
#define _GNU_SOURCE
#include "include/ghosts.h"

#include "bp_calls.h"
#include "group.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *map(size_t byte_count) {
    void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct bp_ghost_group *bp_ghost_map(uint32_t count, const char *name) {
    struct bp_ghost_group *group = map(sizeof *group);
    if (!group) return NULL;
    group->ghosts = map((size_t)count * sizeof(struct ghost));
    group->stacks = map((size_t)count * GHOST_STACK_BYTES);
    if (!group->ghosts || !group->stacks) {
        if (group->ghosts) (void)munmap(group->ghosts, (size_t)count * sizeof(struct ghost));
        (void)munmap(group, sizeof *group);
        return NULL;
    }
    group->count = count;
    memcpy(group->name, name, strnlen(name, NAME_BYTES - 1));
    return group;
}

void bp_ghost_be_own(struct bp_ghost_group *group, int32_t pid) { group->own = pid; }

int bp_ghost_share_own(struct bp_ghost_group *group) {
    int file = (int)syscall(SYS_memfd_create, "bproc-ghost", MFD_CLOEXEC);
    if (file < 0) return -errno;
    void *memory = MAP_FAILED;
    const size_t byte_count = sizeof(struct bproc_local_own_ghost);
    if (ftruncate(file, (off_t)byte_count) == 0) {
        memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (memory == MAP_FAILED) {
        int error = errno;
        (void)close(file);
        return -error;
    }
    group->ghosts = memory;
    group->ghosts[0].pid = group->own;
    group->ghosts[0].server = getpid();
    group->home = &((struct bproc_local_own_ghost *)memory)->home;
    return file;
}

// Waits for the holder to change the word. False when it has ended without doing so.
static int holder_changes(struct bp_ghost_group *group, uint32_t *word, uint32_t value) {
    const struct timespec a_while = {.tv_nsec = 200000000};
    struct pollfd holder = {.fd = group->holder_end, .events = POLLIN};
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
        if (holder.fd < 0 || poll(&holder, 1, 0) == 1) {
            return __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
        }
        (void)syscall(SYS_futex, word, FUTEX_WAIT, value, &a_while, NULL, 0);
    }
    return 1;
}

static void set_and_wake(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    (void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

long bp_ghost_split(struct bp_ghost_group *group) {
    // Ghosts have no handlers, and nobody's SIGCHLD is ignored: a status would be lost.
    for (int number = 1; number < NSIG; number++) (void)signal(number, SIG_DFL);
    const uint64_t all = ~(uint64_t)0;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    group->holder = getpid();
    long result = raw_split(CLONE_VM, group->holder_stack + sizeof group->holder_stack,
                            bp_ghost_holder_main, group);
    if (result < 0) return result;
    set_and_wake(&group->server, (uint32_t)getpid());
    return 0;
}

uint32_t bp_ghost_await(struct bp_ghost_group *group, int *error) {
    group->holder_end = (int32_t)syscall(SYS_pidfd_open, group->holder, 0);
    if (!holder_changes(group, &group->made, 0)) {
        // What it has made before it was killed ends with this process.
        *error = ECHILD;
        return 0;
    }
    *error = group->error;
    return group->made_count;
}

int32_t bp_ghost_pid(const struct bp_ghost_group *group, uint32_t index) {
    return group->own ? group->own : group->ghosts[index].pid;
}

int bp_ghost_has_ended(const struct bp_ghost_group *group, uint32_t index) {
    return group->ghosts[index].has_ended;
}

int32_t bp_ghost_holder(const struct bp_ghost_group *group) { return group->holder; }

static long result(long value) { return value < 0 ? -errno : value; }

long bp_ghost_seize(struct bp_ghost_group *group, uint32_t index) {
    struct ghost *ghost = &group->ghosts[index];
    for (;;) {
        uint32_t has_begun = __atomic_load_n(&ghost->has_begun, __ATOMIC_ACQUIRE);
        if (ptrace(PTRACE_SEIZE, ghost->pid, NULL, PTRACE_O_EXITKILL) == 0) break;
        if (errno != EPERM || has_begun) return -errno;
        const struct timespec a_while = {.tv_nsec = 1000000};
        (void)nanosleep(&a_while, NULL);
    }
    set_and_wake(&ghost->order, ORDER_LIVE);
    return 0;
}

static int dumps_core(int number) {
    return number == SIGQUIT || number == SIGILL || number == SIGTRAP || number == SIGABRT ||
           number == SIGBUS || number == SIGFPE || number == SIGSEGV || number == SIGXCPU ||
           number == SIGXFSZ || number == SIGSYS;
}

void bp_ghost_end(struct bp_ghost_group *group, uint32_t index, int32_t status, int is_stopped) {
    struct ghost *ghost = &group->ghosts[index];
    // The limit of 0 keeps core files away, but not the program that a core_pattern may name: this
    // does, for all of the common memory.
    if (dumps_core(WTERMSIG(status))) (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    ghost->status = status;
    set_and_wake(&ghost->order, ORDER_END);
    if (WTERMSIG(status) == SIGKILL) {
        (void)kill(ghost->pid, SIGKILL);
    } else if (is_stopped) {
        (void)kill(ghost->pid, SIGCONT);
    }
}

long bp_ghost_resume(int32_t pid, int signal) {
    return result(ptrace(PTRACE_CONT, pid, NULL, signal));
}

// Of all signals this comes last, after a SIGCONT above all, and it takes none of them back.
enum { CALL = 64 };

long bp_ghost_call(int32_t pid) { return result(kill(pid, CALL)); }

long bp_ghost_continue(int32_t pid) { return result(kill(pid, SIGCONT)); }

long bp_ghost_listen(int32_t pid) { return result(ptrace(PTRACE_LISTEN, pid, NULL, 0)); }

void bp_ghost_drop(struct bp_ghost_group *group, const uint8_t *is_dropped) {
    for (uint32_t i = 0; i < group->made_count; i++) {
        if (is_dropped[i]) (void)kill(group->ghosts[i].pid, SIGKILL);
    }
    // The tracer hears of a death before the parent does.
    for (uint32_t i = 0; i < group->made_count; i++) {
        int status = 0;
        if (!is_dropped[i]) continue;
        while (waitpid(group->ghosts[i].pid, &status, __WALL) > 0 && WIFSTOPPED(status)) continue;
        group->ghosts[i].is_dropped = 1;
    }
    uint32_t request = group->drop;
    set_and_wake(&group->drop, request + 1);
    (void)holder_changes(group, &group->dropped, request);
}

// ---- Home ----

long bp_ghost_bring(struct bp_ghost_group *group, uint32_t index,
                    const struct bp_ghost_home *plan) {
    static const char variable[] = "BPROC_SOCKET=";
    struct ghost *ghost = &group->ghosts[index];
    if (!group->home) group->home = map(sizeof *group->home);
    struct bproc_local_homecoming *home = group->home;
    if (!home) return -ENOMEM;
    memset(home, 0, sizeof *home);
    home->image = plan->image;
    home->word = plan->word;
    // The caller's own are where they were.
    home->standard[0] = group->own ? -1 : STDIN_FILENO;
    home->standard[1] = home->standard[2] = group->own ? -1 : STDOUT_FILENO;
    home->umask = plan->umask;
    memcpy(home->name, group->name, sizeof home->name);
    memcpy(home->cpu, "BPROC_CPU=suits", sizeof home->cpu);
    size_t length = strlen(plan->socket);
    if (length > 0 && length < BPROC_LOCAL_SOCKET_LEN) {
        memcpy(home->socket, variable, sizeof variable);
        memcpy(home->socket + sizeof variable - 1, plan->socket, length + 1);
    }
    length = strlen(plan->directory);
    if (length < sizeof home->directory) memcpy(home->directory, plan->directory, length + 1);
    // One that has died of a signal with a core may have taken the right to look into them away.
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    // Where Yama lets only ancestors look into another's descriptors.
    (void)prctl(PR_SET_PTRACER, (unsigned long)ghost->pid, 0, 0, 0);
    set_and_wake(&ghost->order, ORDER_COME);
    return 0;
}

long bp_ghost_home_state(const struct bp_ghost_group *group) {
    return __atomic_load_n(&group->home->state, __ATOMIC_ACQUIRE);
}

void bp_ghost_stay(struct bp_ghost_group *group, uint32_t index) {
    set_and_wake(&group->ghosts[index].order, ORDER_LIVE);
}

void bp_ghost_limit(int32_t pid, uint32_t resource, uint64_t soft, uint64_t hard) {
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    if (prlimit(pid, (__rlimit_resource_t)resource, &limit, NULL) == 0 || errno != EPERM) return;
    // Only the privileged raise a hard limit.
    struct rlimit own;
    if (prlimit(pid, (__rlimit_resource_t)resource, NULL, &own) < 0) return;
    limit.rlim_max = own.rlim_max;
    if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
    (void)prlimit(pid, (__rlimit_resource_t)resource, &limit, NULL);
}

void bp_ghost_be_nice(int32_t pid, int32_t nice) {
    (void)setpriority(PRIO_PROCESS, (id_t)pid, nice);
}

long bp_ghost_let_go(struct bp_ghost_group *group, uint32_t index) {
    struct ghost *ghost = &group->ghosts[index];
    const uint64_t all = ~(uint64_t)0;
    // What comes for it from here on waits for the process that it will be.
    if (ptrace(PTRACE_SETSIGMASK, ghost->pid, sizeof all, &all) < 0) return -errno;
    __atomic_store_n(&ghost->order, ORDER_GO, __ATOMIC_RELEASE);
    return result(ptrace(PTRACE_DETACH, ghost->pid, NULL, 0));
}

static int origin_of(pid_t pid, int number) {
    siginfo_t information;
    if (ptrace(PTRACE_GETSIGINFO, pid, NULL, &information) < 0) return BP_GHOST_ORIGIN_OTHER;
    if (information.si_code == SI_KERNEL) return BP_GHOST_ORIGIN_TERMINAL;
    if (information.si_code != SI_USER) return BP_GHOST_ORIGIN_OTHER;
    if (information.si_pid == pid && number == CALL) return BP_GHOST_ORIGIN_HOME;
    if (information.si_pid != getpid()) return BP_GHOST_ORIGIN_OTHER;
    return number == CALL ? BP_GHOST_ORIGIN_CALL : BP_GHOST_ORIGIN_SERVER;
}

long bp_ghost_next(struct bp_ghost_news *news) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);
    if (pid < 0 && errno == ECHILD) return 0;
    if (pid <= 0) return result(pid);
    *news = (struct bp_ghost_news){.pid = pid, .is_stopped = WIFSTOPPED(status)};
    if (WIFSTOPPED(status)) {
        news->signal = WSTOPSIG(status);
        news->is_group_stop = status >> 16 == PTRACE_EVENT_STOP;
        if (!news->is_group_stop) news->origin = origin_of(pid, news->signal);
    } else if (WIFSIGNALED(status)) {
        news->signal = WTERMSIG(status);
    }
    return 1;
}

long bp_ghost_news_descriptor(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    return result(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

void bp_ghost_drain_news(int descriptor) {
    struct signalfd_siginfo information;
    while (read(descriptor, &information, sizeof information) > 0) continue;
}

// A descriptor above the standard ones that gives nothing (0), or takes nothing (1); /dev/null may
// not be there. Or a negated errno.
static int dead_end(int which) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    int kept = fcntl(ends[which], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    (void)close(ends[0]);
    (void)close(ends[1]);
    return kept < 0 ? -error : kept;
}

int bp_ghost_settle(int socket) {
    (void)setsid();
    (void)chdir("/");
    // A caller without standard descriptors has lent their numbers to others.
    int has_output = socket != STDOUT_FILENO && fcntl(STDOUT_FILENO, F_GETFD) >= 0;
    int moved = fcntl(socket, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (moved < 0) return -errno;
    int input = dead_end(0), output = dead_end(1);
    if (input < 0 || output < 0) return input < 0 ? input : output;
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0) return -errno;
    if (!has_output && dup2(output, STDOUT_FILENO) < 0) return -errno;
    const int kept = STDERR_FILENO + 1;
    if (moved != kept && dup3(moved, kept, O_CLOEXEC) < 0) return -errno;
    (void)close_range((unsigned)kept + 1, ~0u, 0);
    return kept;
}

void bp_ghost_release_output(void) { (void)dup2(STDERR_FILENO, STDOUT_FILENO); }
