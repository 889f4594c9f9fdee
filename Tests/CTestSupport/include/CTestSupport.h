// What the tests need of the system beyond the libraries' own calls: children, refusals, broken
// sockets. Every call answers a result or a negated errno.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Starts a child that maps the file privately, closes every descriptor of it, and lives until
// *stop is closed by the caller (write end of a pipe). With a grandchild, the child ends at once
// and the grandchild keeps the mapping. Returns after the mapping is in place.
long bptest_hold_mapping(int fd, size_t byte_count, int grandchild, int *_Nonnull stop);
// Reaps a child; a zombie left behind would be found again and again by who waits for any child,
// as the test run does for its exit tests. Answers the wait status.
long bptest_wait(long process);
// A child that ends with this code after its pipe is closed, or by the signal when code is
// negative.
long bptest_child(int code, int *_Nonnull stop);
// Gives every privilege of this process away.
long bptest_become_nobody(void);
// Sends a signal to the calling thread.
void bptest_raise(int number);
long bptest_limit_locked_memory(size_t byte_count);
// The soft limit: it can be raised again.
long bptest_limit_open_files(size_t count);
// From here on io_uring_setup answers EPERM, in every thread of this process and for good.
long bptest_forbid_io_uring(void);
// 1: the descriptor is readable, 0: the time is over.
long bptest_wait_readable(int fd, int milliseconds);
// Closing this TCP socket resets its connection.
long bptest_reset_on_close(int socket);
long bptest_finish_writing(int socket);
// A terminal without anybody at it, and the name of its other side.
long bptest_open_terminal(char *_Nonnull name, size_t size);
// One byte with several copies of a descriptor.
long bptest_send_copies(int socket, int fd, int count);
long bptest_read_at(int fd, void *_Nonnull byte, long offset);
long bptest_write_at(int fd, const void *_Nonnull byte, long offset);
// What a restoring child does to get at its image.
long bptest_open_at(int directory, const char *_Nonnull name);
long bptest_create_file(const char *_Nonnull path);
long bptest_file_exists(const char *_Nonnull path);
