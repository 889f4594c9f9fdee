// Time, descriptors of processes and signals, and other calls the Glibc module hides.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct bp_child_exit {
    int32_t pid;
    int32_t wait_status; /* as waitpid reports it */
    uint64_t user_microseconds;
    uint64_t system_microseconds;
    uint64_t max_resident_kilobytes;
};

uint64_t bp_monotonic_nanoseconds(void);
/* Reaps the child behind a pidfd without waiting: 1 reaped, 0 still running. */
long bp_reap(int pidfd, struct bp_child_exit *_Nonnull exit);
/* A child that has stopped by this signal, or (0) goes on. */
struct bp_child_stop {
    int32_t pid;
    int32_t signal;
};
/* Blocks SIGCHLD and answers a non-blocking signalfd for it. */
long bp_child_descriptor(void);
/* Empties it; then says of one child after the other what has become of it: 1, or 0: no news. */
void bp_drain_child_descriptor(int fd);
long bp_next_child_stop(struct bp_child_stop *_Nonnull stop);
long bp_kill(int32_t pid, int32_t signal);
/* The group of a process, or a negated errno. */
long bp_process_group(int32_t pid);
long bp_pidfd_open(int32_t pid);
/* The number under which /proc shows a process; that of another pid namespace shows all under
   numbers of its own. */
int32_t bp_shown_pid(int32_t pid);
// The user whose rights a living process has, by its directory in /proc.
long bp_process_user(int32_t pid);
/* Blocks SIGTERM, SIGINT and SIGHUP, ignores SIGPIPE, and answers a non-blocking signalfd for
   them. */
long bp_signal_descriptor(void);
/* The next signal number from it, or 0. */
long bp_next_signal(int fd);
// Two connected ends that keep messages whole; the first does not block.
long bp_message_pair(int *_Nonnull fds);
long bp_pipe(int *_Nonnull fds, int nonblocking_read, int nonblocking_write);
long bp_read(int fd, void *_Nonnull bytes, size_t count);
long bp_write(int fd, const void *_Nonnull bytes, size_t count);
long bp_raise_open_files(void);
long bp_set_nice(int nice);
/* Where the kernel shares the processor out by sessions, nice counts only inside one: this sets the
   value of the caller's whole session. */
long bp_set_session_nice(int nice);
uint32_t bp_effective_user(void);
int32_t bp_own_pid(void);
long bp_open_read_only(const char *_Nonnull path);
/* The executable that runs, where /proc is missing by the name it was started with. */
long bp_open_own_program(void);
/* A procfs with the processes that this one sees: the one at /proc, else one that is mounted
   nowhere, which takes a privilege. For bp_open_process. */
long bp_open_processes(void);
/* The latter in any case. */
long bp_mount_processes(void);
/* The directory of one process in it. */
long bp_open_process(int processes, int pid);
long bp_open_read_write(const char *_Nonnull path);
long bp_change_root(const char *_Nonnull path);
/* 0, or why this file cannot be executed by this process. */
long bp_can_execute(const char *_Nonnull path);
/* Puts a program in the place of this one, with the signals of a fresh process. Answers only on
   failure. arguments ends with NULL; the first is the path. */
long bp_execute(const char *_Nullable const *_Nonnull arguments);
enum bp_machine_end { BP_MACHINE_REBOOT, BP_MACHINE_HALT, BP_MACHINE_POWER_OFF };
/* Writes what is cached to the disks and ends the machine, or the pid namespace, without its init.
   Answers only on failure. */
long bp_end_machine(enum bp_machine_end end);
/* Tells systemd (NOTIFY_SOCKET) a state; 0 without one. */
long bp_notify(const char *_Nonnull state);
/* Goes to the background: answers a descriptor on which one byte, the exit code the foreground
   process shall end with, reports readiness; the calling process continues as the daemon. */
long bp_daemonize(void);
long bp_stop_self(void);
long bp_core_count(void);
/* Major times 1000 plus minor, 0 if it cannot be read. */
long bp_kernel_version(void);
long bp_unlink_path(const char *_Nonnull path);

long bp_epoll_create(void);
/* One-shot interest in a descriptor: events as EPOLLIN | EPOLLOUT bits, 0 removes it. */
long bp_epoll_set(int epoll, int fd, uint32_t events, int is_known);
struct bp_ready {
    int32_t fd;
    uint32_t events;
};
long bp_epoll_wait(int epoll, struct bp_ready *_Nonnull ready, int capacity, int64_t nanoseconds);
/* Replaces a file's content with a text. */
long bp_write_file(const char *_Nonnull path, const char *_Nonnull text);
_Noreturn void bp_exit(int code);
