// What a ghost does that becomes its process again. It has no C library: it runs in a few pages of
// its own (standin.c), or beside others in the memory of their server (CGhosts). Everything here is
// inlined into whoever includes it.
#pragma once
#include "bp_calls.h"
#include "bproc_local_ghosts.h"
#include <stdint.h>
#include <sys/syscall.h>

#define BP_HOME static inline __attribute__((always_inline, unused))

enum {
    BP_HOME_OWN_TABLES = 0x600, // CLONE_FS, CLONE_FILES
    BP_HOME_DUPFD_CLOEXEC = 1030, BP_HOME_SETFD = 2, BP_HOME_EMPTY_PATH = 0x1000,
    BP_HOME_CLOSE_ON_EXEC = 4, // CLOSE_RANGE_CLOEXEC
    BP_HOME_CALL = 64,         // the signal that the server waits for
    BP_HOME_STATUS = 255,
};

// One descriptor of the server's, above the standard ones; or a negated errno.
BP_HOME long bp_home_take(long server, int32_t number) {
    long taken = raw_call(SYS_pidfd_getfd, server, number, 0, 0, 0);
    if (taken < 0) return taken;
    long kept = raw_call(SYS_fcntl, taken, BP_HOME_DUPFD_CLOEXEC, 3, 0, 0);
    (void)raw_call(SYS_close, taken, 0, 0, 0, 0);
    return kept;
}

// Takes what it needs. From here on its descriptors and its directory are nobody else's.
BP_HOME long bp_home_prepare(struct bproc_local_homecoming *home, int32_t server) {
    const int32_t wanted[5] = {home->standard[0], home->standard[1], home->standard[2],
                               home->image, home->word};
    long error = raw_call(SYS_unshare, BP_HOME_OWN_TABLES, 0, 0, 0, 0);
    if (error < 0) return error;
    long end = raw_call(SYS_pidfd_open, server, 0, 0, 0, 0);
    if (end < 0) return end;
    for (int i = 0; i < 5 && error >= 0; i++) {
        home->taken[i] = -1;
        if (wanted[i] < 0) continue;
        error = bp_home_take(end, wanted[i]);
        home->taken[i] = (int32_t)error;
    }
    (void)raw_call(SYS_close, end, 0, 0, 0, 0);
    return error < 0 ? error : 0;
}

// It stays a ghost, and keeps nothing open.
BP_HOME void bp_stay_away(struct bproc_local_homecoming *home) {
    for (int i = 0; i < 5; i++) {
        if (home->taken[i] >= 0) (void)raw_call(SYS_close, home->taken[i], 0, 0, 0, 0);
        home->taken[i] = -1;
    }
}

// It is traced: the signal stops it, and is not seen again.
BP_HOME void bp_come_home(struct bproc_local_homecoming *home, int32_t server) {
    for (int i = 0; i < 5; i++) home->taken[i] = -1;
    long error = bp_home_prepare(home, server);
    if (error < 0) bp_stay_away(home);
    __atomic_store_n(&home->state, error < 0 ? (int32_t)error : 1, __ATOMIC_RELEASE);
    long own = raw_call(SYS_getpid, 0, 0, 0, 0, 0);
    (void)raw_call(SYS_kill, own, BP_HOME_CALL, 0, 0, 0);
}

// Executes the image, with all signals blocked. The code in the image does the rest.
BP_HOME _Noreturn void bp_go_home(struct bproc_local_homecoming *home) {
    const char *const arguments[2] = {home->name, 0};
    const char *const environment[3] = {home->cpu, *home->socket ? home->socket : 0, 0};
    for (int i = 0; i < 3; i++) {
        if (home->taken[i] < 0) continue;
        (void)raw_call(SYS_dup3, home->taken[i], i, 0, 0, 0);
    }
    (void)raw_call(SYS_close_range, 3, -1L, BP_HOME_CLOSE_ON_EXEC, 0, 0);
    (void)raw_call(SYS_fcntl, home->taken[3], BP_HOME_SETFD, 0, 0, 0);
    (void)raw_call(SYS_umask, home->umask, 0, 0, 0, 0);
    if (*home->directory) (void)raw_call(SYS_chdir, (long)home->directory, 0, 0, 0, 0);
    const long image = home->taken[3], name = (long)home->nothing;
    const int32_t error = (int32_t)-raw_call(SYS_execveat, image, name, (long)arguments,
                                                 (long)environment, BP_HOME_EMPTY_PATH);
    (void)raw_call(SYS_write, home->taken[4], (long)&error, sizeof error, 0, 0);
    for (;;) (void)raw_call(SYS_exit_group, BP_HOME_STATUS, 0, 0, 0, 0);
}
