// The memory that the ghosts of one call share, and the few system calls between the clone of a
// ghost and its death. Everything that is decided is decided elsewhere.
//
// Three kinds of processes live in this memory:
//   the server   talks to the library and to the daemon; it is nobody's child that anyone waits for
//   the holder   the parent of the ghosts until the caller adopts them; its death hands them over
//   the ghosts   children of the caller in the end, each traced by the server
//
// A ghost sleeps until it is told how to end. Signals for it stop it, and the server, which traces
// it, decides about each.
#pragma once
#include <stdint.h>

// A group of ghosts; opaque, mapped once.
struct bp_ghost_group;

// What has been done of the role --helper=ghosts --socket=N before main: the process is the server,
// settled, and the library has been told of the ghosts, which are traced.
struct bp_ghost_beginning {
    struct bp_ghost_group *_Nullable group;
    int32_t socket; // its number by now
    uint32_t count; // of the ghosts that are made
    int32_t is_own; // the one ghost is the caller itself, which is not traced yet
};
// NULL: this process was started otherwise.
const struct bp_ghost_beginning *_Nullable bp_ghost_begun(void);

// Maps the memory of a group of at most this many ghosts with this name in ps. NULL: no memory.
struct bp_ghost_group *_Nullable bp_ghost_map(uint32_t count, const char *_Nonnull name);

// The one ghost will be this process, which exists and stays whose child it is. Before the split.
void bp_ghost_be_own(struct bp_ghost_group *_Nonnull group, int32_t pid);
// In the server: the memory that it shares with that ghost, as a file; or a negated errno.
int bp_ghost_share_own(struct bp_ghost_group *_Nonnull group);

// Splits the calling process, which has one thread: the one that was called becomes the holder and
// never returns, a new one becomes the server and returns 0 on the same stack, in the same memory,
// with a descriptor table of its own. A negated errno in the
// only process if it cannot be split. All signals are blocked from here on.
long bp_ghost_split(struct bp_ghost_group *_Nonnull group);

// In the server: waits until the holder has made the ghosts, or has been killed. Answers how many
// there are; *error is why there are not more (0: all are there).
uint32_t bp_ghost_await(struct bp_ghost_group *_Nonnull group, int *_Nonnull error);

int32_t bp_ghost_pid(const struct bp_ghost_group *_Nonnull group, uint32_t index);
// Whether it has ended before it could be traced.
int bp_ghost_has_ended(const struct bp_ghost_group *_Nonnull group, uint32_t index);
int32_t bp_ghost_holder(const struct bp_ghost_group *_Nonnull group);

// Traces a ghost, which dies with the server from then on, and lets it take signals.
long bp_ghost_seize(struct bp_ghost_group *_Nonnull group, uint32_t index);

// Tells a ghost, stopped by a signal or not, to end as this wait status says. One that is to end by
// another signal than SIGKILL stops for it then.
void bp_ghost_end(struct bp_ghost_group *_Nonnull group, uint32_t index, int32_t status,
                  int is_stopped);

// Lets a stopped ghost go on, with this signal or none (0).
long bp_ghost_resume(int32_t pid, int signal);
// Leaves a ghost that a signal has stopped as it is, until the next SIGCONT.
long bp_ghost_listen(int32_t pid);
// Has a ghost stop for its tracer, after what else is on its way to it.
long bp_ghost_call(int32_t pid);
// Lets a ghost that has stopped as a process go on.
long bp_ghost_continue(int32_t pid);
// Ghosts of which the holder is still the parent: kills the marked ones and has the holder reap
// them, so that nobody else ever hears of them. is_dropped[i] belongs to ghost i.
void bp_ghost_drop(struct bp_ghost_group *_Nonnull group, const uint8_t *_Nonnull is_dropped);

// What has happened to a ghost or to the holder. 1: something; 0: nothing more; or a negated errno.
struct bp_ghost_news {
    int32_t pid;
    int32_t is_stopped; // 0: it has ended
    int32_t signal;     // that stopped or ended it
    int32_t is_group_stop; // it has stopped, or (SIGTRAP) goes on, as a process
    int32_t origin;        // of a signal that it is to get: bp_ghost_origin
};
enum bp_ghost_origin {
    BP_GHOST_ORIGIN_OTHER = 0,
    BP_GHOST_ORIGIN_TERMINAL = 1, // it came from the terminal, to a process group
    BP_GHOST_ORIGIN_SERVER = 2,
    BP_GHOST_ORIGIN_CALL = 3, // it is none: the ghost comes because bp_ghost_call has called it
    BP_GHOST_ORIGIN_HOME = 4, // it is none: the ghost comes because bp_ghost_bring has called it
};
long bp_ghost_next(struct bp_ghost_news *_Nonnull news);

// A descriptor that is readable when there may be news. Or a negated errno.
long bp_ghost_news_descriptor(void);
void bp_ghost_drain_news(int descriptor);

// What a ghost needs to become its process again.
struct bp_ghost_home {
    int32_t image; // a descriptor of the server's: the image, a file that can be executed
    int32_t word;  // another: the writing end of a pipe. It closes when the ghost has executed the
                   // image, or takes an errno before
    uint32_t umask;
    const char *_Nonnull socket;    // of the daemon that it is to speak to; empty: as before
    const char *_Nonnull directory; // empty: where it is
};

// Has a ghost take what it needs; it stops for its server then (BP_GHOST_ORIGIN_HOME). One at a
// time. 0 or a negated errno.
long bp_ghost_bring(struct bp_ghost_group *_Nonnull group, uint32_t index,
                    const struct bp_ghost_home *_Nonnull plan);
// What came of it: 1, or a negated errno.
long bp_ghost_home_state(const struct bp_ghost_group *_Nonnull group);
// It stays a ghost, and has still to be resumed.
void bp_ghost_stay(struct bp_ghost_group *_Nonnull group, uint32_t index);
// Lets it go, which has stopped for that: nobody traces it any more. 0 or a negated errno.
long bp_ghost_let_go(struct bp_ghost_group *_Nonnull group, uint32_t index);
void bp_ghost_limit(int32_t pid, uint32_t resource, uint64_t soft, uint64_t hard);
void bp_ghost_be_nice(int32_t pid, int32_t nice);

// Gives up what ties the server to its caller: its directory, its session, and every descriptor but
// this one and standard output. The new number of this one, or a negated errno.
int bp_ghost_settle(int socket);
// Gives up standard output.
void bp_ghost_release_output(void);
