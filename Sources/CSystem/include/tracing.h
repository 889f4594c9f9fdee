// Looking at another program from outside: ptrace, its memory, its page map; and the files and
// mappings that an image is written into. Every bp_ call answers a result or a negated errno.
#pragma once
#include "bp_pagemap.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// The general registers in ptrace's order (struct user_regs_struct of x86-64).
struct bp_registers {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip,
        cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};

struct bp_rseq {
    uint64_t address;
    uint32_t byte_count, signature, flags, pad;
};

// What waitpid said of a traced program.
struct bp_trace_event {
    int32_t stopped; /* by this signal, 0 if it ended */
    int32_t event;   /* PTRACE_EVENT_* of that stop */
    int32_t exited;  /* 1: with this status */
    int32_t status;
    int32_t killed; /* by this signal */
    int32_t other;  /* the process or thread that a fork, vfork or clone event is about */
};

// Starts a program under trace, in this process's own context; it stops at its first instruction,
// that of the dynamic linker if it has one. It dies with this process. Answers its pid.
long bp_trace_start(const char *_Nonnull path, const char *_Nullable const *_Nonnull arguments,
                    const char *_Nullable const *_Nonnull environment);
long bp_trace_wait(pid_t pid, struct bp_trace_event *_Nonnull event);
// Kill with the tracer, tell of exec, fork, vfork and clone.
long bp_trace_set_options(pid_t pid);
long bp_trace_continue(pid_t pid, int signal);
long bp_trace_step(pid_t pid);
// Kills and reaps. A process or thread that came into being under trace has to be reaped first: the
// end of its leader is not told before.
void bp_trace_kill(pid_t pid);
long bp_trace_send_kill(pid_t pid);
long bp_trace_registers(pid_t pid, struct bp_registers *_Nonnull registers);
long bp_trace_set_registers(pid_t pid, const struct bp_registers *_Nonnull registers);
// The x87 and SSE registers as fxsave writes them: 512 bytes.
long bp_trace_float_registers(pid_t pid, void *_Nonnull bytes);
long bp_trace_signal_mask(pid_t pid, uint64_t *_Nonnull mask);
long bp_trace_rseq(pid_t pid, struct bp_rseq *_Nonnull rseq);
// Sets the first debug register to stop at this instruction.
long bp_trace_breakpoint(pid_t pid, uint64_t address);
long bp_trace_peek(pid_t pid, uint64_t address, uint64_t *_Nonnull word);
long bp_trace_poke(pid_t pid, uint64_t address, uint64_t word);
long bp_trace_robust_list(pid_t pid, uint64_t *_Nonnull address, uint64_t *_Nonnull byte_count);
long bp_trace_read(pid_t pid, uint64_t address, void *_Nonnull bytes, size_t byte_count);

long bp_image_file(const char *_Nonnull name, int executable);
long bp_image_seal(int fd);
long bp_image_resize(int fd, uint64_t byte_count);
// A file for an image: created or emptied, and its owner's to run.
long bp_image_create(const char *_Nonnull path);
long bp_image_open(const char *_Nonnull path, int flags);
// The same for a name in an open directory.
long bp_image_open_at(int directory, const char *_Nonnull name, int flags);
long bp_image_read_at(int fd, void *_Nonnull bytes, size_t byte_count, uint64_t offset);
long bp_image_write(int fd, const void *_Nonnull bytes, size_t byte_count);
// Answers the address, or a negated errno.
intptr_t bp_image_map(int fd, uint64_t byte_count, int writable);
void bp_image_unmap(void *_Nonnull address, uint64_t byte_count);
// Makes the pages of a writable shared mapping present in one call instead of one fault each.
long bp_image_populate(void *_Nonnull address, uint64_t byte_count);
uint64_t bp_capture_clock(void);

struct bp_command_file {
    uint32_t mode;
    uint64_t byte_count;
    int32_t set_id;       /* set-uid, set-gid or file capabilities */
    int32_t not_runnable; /* errno of the check for execute permission, 0: may be run */
};
// Opens a command for reading and says what it is. Answers the descriptor.
long bp_open_command(const char *_Nonnull path, struct bp_command_file *_Nonnull file);

// A message of the local protocol over a stream socket: all of it, and at most one descriptor.
long bp_capture_receive(int socket, void *_Nonnull bytes, size_t byte_count);
// The first bytes of one; with the descriptor, or -1.
long bp_capture_receive_first(int socket, void *_Nonnull bytes, size_t byte_count,
                              int *_Nonnull descriptor);
long bp_capture_send(int socket, const void *_Nonnull bytes, size_t byte_count, int descriptor);
long bp_capture_close_on_exec(int fd);
// Gives this process as much of file sizes and memory as it may take.
void bp_raise_limits(void);
