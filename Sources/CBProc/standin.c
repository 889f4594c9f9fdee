// A process that has moved becomes its own stand-in: a few pages of code that belongs to no program
// (CRestore/standin.c), beside which nothing of the process stays.
#define _GNU_SOURCE
#include "internal.h"
#include "job.h"

#include "CRestore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { PAGE = 4096, STACK_BYTES = 4 * PAGE, STATUS_LOST = 255 };

static size_t whole_pages(size_t byte_count) {
    return (byte_count + PAGE - 1) & ~(size_t)(PAGE - 1);
}

// The page that the command line begins on, near the end of the stack: ps reads it there. 0: nobody
// knows.
static uint64_t find_arguments(int lent_directory) {
    enum { ARGUMENTS_START = 48 };
    char text[1024];
    int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (file < 0 && lent_directory >= 0) {
        file = openat(lent_directory, "stat", O_RDONLY | O_CLOEXEC);
    }
    ssize_t count = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0) close(file);
    if (count <= 0) return 0;
    text[count] = 0;
    // The name may contain anything, a closing parenthesis too: the last one ends it.
    const char *at = strrchr(text, ')');
    for (int field = 3; at && field <= ARGUMENTS_START; field++) {
        at = strchr(at, ' ');
        if (at) at++;
    }
    return at ? strtoull(at, NULL, 10) & ~(uint64_t)(PAGE - 1) : 0;
}

struct bp_stand_in *bplib_prepare_stand_in(int lent_directory) {
    struct bp_stand_in_code code = bp_stand_in_code();
    size_t code_bytes = whole_pages(code.byte_count);
    size_t state_bytes = whole_pages(sizeof(struct bp_stand_in));
    size_t byte_count = code_bytes + STACK_BYTES + state_bytes + PAGE;
    unsigned char *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        bplib_fail(errno, "memory for the stand-in: %s", bproc_strerror(errno));
        return NULL;
    }
    memcpy(memory, code.bytes, code.byte_count);
    if (mprotect(memory, code_bytes, PROT_READ | PROT_EXEC) < 0) {
        bplib_fail(errno, "memory for the stand-in: %s", bproc_strerror(errno));
        (void)munmap(memory, byte_count);
        return NULL;
    }
    struct bp_stand_in *state = (void *)(memory + code_bytes + STACK_BYTES);
    state->start = (uint64_t)memory;
    state->byte_count = byte_count;
    state->arguments = find_arguments(lent_directory);
    state->shared = (uint64_t)state + state_bytes;
    return state;
}

void bplib_drop_stand_in(struct bp_stand_in *state) {
    int error = errno;
    (void)munmap((void *)state->start, state->byte_count);
    errno = error;
}

// All signals, for a process whose standard streams' numbers are about to be taken by others.
static int open_signals(void) {
    sigset_t all;
    sigfillset(&all);
    bplib_set_mask(&all);
    int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || signals > STDERR_FILENO) return signals;
    int moved = fcntl(signals, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(signals);
    return moved;
}

static int become_ghost(struct bp_stand_in *state, bproc_job_t *job, struct bplib_ghosts *ghosts) {
    return ghosts && bplib_become_ghost(ghosts, job, (void *)state->shared) == 0;
}

_Noreturn void bplib_stand_in(struct bp_stand_in *state, bproc_job_t *job,
                              struct bplib_ghosts *ghosts) {
    state->is_ghost = become_ghost(state, job, ghosts);
    int signals = state->is_ghost ? -1 : open_signals();
    // The descriptors went with the process, as far as they could; kept here, they would hold other
    // people's pipes open.
    bplib_job_move_above(job, STDERR_FILENO);
    int channel = state->is_ghost ? -1 : bproc_job_descriptor(job);
    bplib_close_others((const int[]){signals, channel});
    // A ghost may be itself again, and then has its input.
    int input = state->is_ghost ? -1 : open("/dev/null", O_RDONLY);
    if (input > 0) (void)dup2(input, STDIN_FILENO);
    if (input > STDERR_FILENO) close(input);
    const struct bplib_buffer *in = &job->channel.in;
    size_t have = in->end - in->start;
    if (state->is_ghost) have = 0; // its server has them
    if (have > sizeof state->bytes / 2) _exit(STATUS_LOST);
    memcpy(state->bytes, in->bytes + in->start, have);
    state->have = (uint32_t)have;
    state->job = channel;
    state->signals = signals;
    state->is_forwarding = job->forwarding;
    // The kernel would write to what is no memory any more.
    bplib_leave_rseq();
    unsigned char *stack = (unsigned char *)state;
    uint64_t entry = state->start + bp_stand_in_code().entry;
    __asm__ volatile("movq %0, %%rsp\n\txorl %%ebp, %%ebp\n\tcall *%1\n\thlt"
                     :
                     : "c"(stack), "a"(entry), "D"(state)
                     : "memory");
    __builtin_unreachable();
}
