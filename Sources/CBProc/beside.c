// The start of a helper beside the caller.
//
// exec gives a process an exit signal, and its parent a child that wait reports. So the helper is
// the child of a process that has no exit signal itself and is invisible to a plain wait; it lives
// as long as the helper. Until the exec both run in the caller's memory, while the caller goes on:
// they write to none of it but what is mapped for them, and call nothing that might, errno's
// meaning and the linker's tables of functions included. So they make bare system calls.
#define _GNU_SOURCE
#include "beside.h"

#include "bp_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 8192 };

struct beside_memory {
    // What they need.
    int program, socket;
    pid_t caller, between;
    struct bplib_helper_words words;
    struct bplib_number_range others[3];
    int other_count;
    // What they tell.
    uint32_t has_begun; // a futex
    int helper;         // pidfd; -1
    int error;
    unsigned char stack[STACK_BYTES] __attribute__((aligned(64)));
    unsigned char helper_stack[STACK_BYTES] __attribute__((aligned(64)));
};

static _Noreturn void end(int status) {
    for (;;) (void)raw_call(SYS_exit_group, status, 0, 0, 0, 0);
}

// A parent that has been killed already would never be seen to end.
static void end_with(pid_t parent) {
    (void)raw_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (raw_call(SYS_getppid, 0, 0, 0, 0, 0) != parent) end(127);
}

// What the caller has open is not kept open by the helper: it may be about to execute what it has
// just written. The table of descriptors is this process's own.
static void become_helper(void *argument) {
    struct beside_memory *memory = argument;
    end_with(memory->between);
    for (int i = 0; i < memory->other_count; i++) {
        const struct bplib_number_range *others = &memory->others[i];
        (void)raw_call(SYS_close_range, others->first, others->last, 0, 0, 0);
    }
    long result = raw_call(SYS_fcntl, memory->socket, F_SETFD, 0, 0, 0);
    if (result == 0) {
        result = raw_call(SYS_execveat, memory->program, (long)"", (long)memory->words.argv,
                          (long)memory->words.envp, AT_EMPTY_PATH);
    }
    memory->error = (int)-result;
    end(127);
}

static int between(void *argument) {
    struct beside_memory *memory = argument;
    end_with(memory->caller);
    memory->between = (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0);
    long pid = raw_clone(CLONE_VM | CLONE_VFORK | SIGCHLD, memory->helper_stack + STACK_BYTES,
                         become_helper, memory);
    if (pid < 0) memory->error = (int)-pid;
    if (pid > 0) memory->helper = (int)raw_call(SYS_pidfd_open, pid, 0, 0, 0, 0);
    __atomic_store_n(&memory->has_begun, 1, __ATOMIC_RELEASE);
    (void)raw_call(SYS_futex, (long)&memory->has_begun, FUTEX_WAKE, 1, 0, 0);
    if (pid > 0) (void)raw_call(SYS_wait4, pid, 0, 0, 0, 0);
    end(0);
}

static struct beside_memory *prepare(const struct bplib_helper *helper, int socket,
                                     const char *role) {
    struct beside_memory *memory = mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    memory->program = helper->program;
    memory->socket = socket;
    memory->caller = getpid();
    memory->helper = -1;
    bplib_word_helper(&memory->words, role, socket);
    memory->other_count =
        bplib_find_others((const int[]){helper->program, socket}, 2, memory->others);
    return memory;
}

int bplib_begin_beside(struct bplib_beside *beside, const struct bplib_helper *helper, int socket,
                       const char *role) {
    *beside = (struct bplib_beside){.between = -1, .helper = -1};
    beside->memory = prepare(helper, socket, role);
    if (!beside->memory) {
        return bplib_fail(errno, "memory for a helper: %s", bproc_strerror(errno));
    }
    beside->between = clone(between, beside->memory->stack + STACK_BYTES, CLONE_VM | CLONE_FILES,
                            beside->memory);
    if (beside->between > 0) return 0;
    int error = errno;
    bplib_bury_beside(beside);
    return bplib_fail(error, "a helper does not start: %s", bproc_strerror(error));
}

// False when between was killed before it could tell.
static bool await_begin(struct bplib_beside *beside) {
    struct beside_memory *memory = beside->memory;
    while (!__atomic_load_n(&memory->has_begun, __ATOMIC_ACQUIRE)) {
        const struct timespec a_while = {.tv_nsec = 100000000};
        (void)syscall(SYS_futex, &memory->has_begun, FUTEX_WAIT, 0, &a_while, NULL, 0);
        if (waitpid(beside->between, NULL, __WCLONE | WNOHANG) > 0) {
            beside->between = -1;
            return false;
        }
    }
    return true;
}

int bplib_await_beside(struct bplib_beside *beside) {
    int error = EAGAIN;
    if (beside->memory && await_begin(beside)) {
        beside->helper = beside->memory->helper;
        error = beside->memory->error;
        if (beside->helper < 0 && !error) error = EAGAIN;
    } else {
        // Its child may still run there, for as long as it takes to be killed.
        beside->memory = NULL;
    }
    if (!error) return 0;
    return bplib_fail(error, "a helper does not start: %s", bproc_strerror(error));
}

void bplib_kill_beside(struct bplib_beside *beside) {
    if (beside->helper < 0) return;
    (void)syscall(SYS_pidfd_send_signal, beside->helper, SIGKILL, NULL, 0);
}

void bplib_bury_beside(struct bplib_beside *beside) {
    if (beside->helper >= 0) close(beside->helper);
    while (beside->between > 0 && waitpid(beside->between, NULL, __WCLONE) < 0 && errno == EINTR) {
    }
    if (beside->memory) (void)munmap(beside->memory, sizeof *beside->memory);
    *beside = (struct bplib_beside){.between = -1, .helper = -1};
}

struct bplib_stretch bplib_beside_stretch(const struct bplib_beside *beside) {
    enum { PAGE = 4096 };
    uint64_t start = (uint64_t)beside->memory;
    uint64_t byte_count = (sizeof *beside->memory + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    return (struct bplib_stretch){start, start ? start + byte_count : 0};
}
