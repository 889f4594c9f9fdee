// What the commands need of the system beyond descriptors: signals as data, terminals, daemons that
// are started and ended, the caller's own arguments as bytes.
#pragma once
#include <stddef.h>
#include <stdint.h>

// The environment's entry at index; NULL behind the last.
const char *_Nullable bp_command_environment(size_t index);

// Blocks the given signals (bit n: signal n) except those that are ignored now, and answers a
// descriptor that reports them.
long bp_command_signals(uint64_t set);
// The number of the next signal; 0: none now.
// *from_terminal: the terminal has sent it, to its foreground group.
long bp_command_next_signal(int fd, int *_Nonnull from_terminal);

int bp_command_is_terminal(int fd);
// Columns of the terminal; 0: it is none, or does not know.
int bp_command_terminal_columns(int fd);
int bp_command_terminal_rows(int fd);
// 0: a regular file that the caller may execute; else a negated errno, EISDIR for a directory.
long bp_command_can_execute(const char *_Nonnull path);
// 1: a pipe or terminal, where a write may wait; 2: a socket; 0: anything else.
int bp_command_output_kind(int fd);

long bp_command_sleep(uint64_t nanoseconds);

// Starts a program in a session of its own with /dev/null as input and output_fd as both outputs.
// argv ends with NULL. The pid, or the negated errno of vfork or execve.
long bp_command_start_daemon(
    const char *_Nonnull path, char *_Nullable const *_Nonnull argv, int output_fd);
// Starts a program that keeps the caller's session, terminal and descriptors.
long bp_command_start(const char *_Nonnull path, char *_Nullable const *_Nonnull argv,
    char *_Nullable const *_Nonnull envp);
// Takes the status of an ended child. The pid; 0: none has ended (only if wait is 0).
long bp_command_reap(int pid, int wait, int *_Nonnull status);

long bp_command_pidfd(int pid);
long bp_command_pidfd_signal(int pidfd, int signal);
// Raises the limit of open descriptors, up to what is allowed. The limit now.
long bp_command_raise_descriptor_limit(uint64_t wanted);
// A TCP port of 127.0.0.1 that nobody listens on now.
long bp_command_free_port(void);
// The owner and the mode (type included) of what a path names, without following a last link.
long bp_command_owner_and_mode(const char *_Nonnull path, uint32_t *_Nonnull owner,
    uint32_t *_Nonnull mode);
