#define _GNU_SOURCE
#include "include/guardian.h"
#include "include/processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SESSIONS_MOST = 1 << 16, ROUNDS_MOST = 200 };

struct bp_guarded {
    volatile uint32_t count; // of the entries that were ever used
    volatile int32_t sessions[SESSIONS_MOST]; // 0: none
};

long bp_adopt_orphans(void) {
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

struct bp_guarded *bp_guarded_map(void) {
    void *memory = mmap(NULL, sizeof(struct bp_guarded), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static volatile int32_t *place_of(struct bp_guarded *guarded, int32_t session) {
    for (uint32_t i = 0; i < guarded->count; i++) {
        if (guarded->sessions[i] == session) return &guarded->sessions[i];
    }
    return NULL;
}

void bp_guarded_add(struct bp_guarded *guarded, int32_t session) {
    if (place_of(guarded, session)) return;
    volatile int32_t *place = place_of(guarded, 0);
    if (!place && guarded->count < SESSIONS_MOST) {
        place = &guarded->sessions[guarded->count];
        guarded->count++;
    }
    if (place) *place = session;
}

void bp_guarded_remove(struct bp_guarded *guarded, int32_t session) {
    volatile int32_t *place = place_of(guarded, session);
    if (place) *place = 0;
}

// Kills the members of all sessions. How many there were.
static int kill_members(struct bp_guarded *guarded, int processes) {
    int descriptor = openat(processes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = descriptor < 0 ? NULL : fdopendir(descriptor);
    int count = 0;
    if (!directory) return 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        int32_t pid = atoi(entry->d_name);
        if (pid <= 0) continue;
        long session = bp_process_session(processes, pid);
        if (session <= 0 || !place_of(guarded, (int32_t)session)) continue;
        // One that has ended and is not buried yet is none.
        if (bp_process_has_ended(processes, pid) != 0) continue;
        if (kill(pid, SIGKILL) == 0) count++;
    }
    closedir(directory);
    return count;
}

// Forked, with one thread: what others hold in the slave's memory is not touched.
static _Noreturn void guard(struct bp_guarded *guarded, int processes, int slave) {
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)setsid();
    (void)prctl(PR_SET_NAME, "bproc-guard", 0, 0, 0);
    (void)chdir("/");
    if (dup2(slave, 0) < 0 || dup2(processes, 1) < 0) _exit(1);
    (void)close_range(2, ~0u, 0);
    struct pollfd entry = {.fd = 0, .events = POLLIN};
    while (poll(&entry, 1, -1) < 0 && errno == EINTR) {}
    for (int round = 0; round < ROUNDS_MOST && kill_members(guarded, 1) > 0; round++) {
        // They need a moment to end, and may have forked before that.
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    _exit(0);
}

long bp_start_guardian(struct bp_guarded *guarded, int processes) {
    int slave = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (slave < 0) return -errno;
    // Descriptors 0 and 1 become these two.
    int own = fcntl(slave, F_DUPFD_CLOEXEC, 3), their = fcntl(processes, F_DUPFD_CLOEXEC, 3);
    pid_t pid = own < 0 || their < 0 ? -1 : fork();
    if (pid == 0) guard(guarded, their, own);
    int error = errno;
    close(slave);
    if (own >= 0) close(own);
    if (their >= 0) close(their);
    return pid < 0 ? -error : pid;
}

void bp_bury(int32_t pid) {
    while (waitpid(pid, NULL, WNOHANG | __WALL) < 0 && errno == EINTR) {}
}
