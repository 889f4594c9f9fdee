// What the files of the library share. Nothing here is visible outside a shared libbproc.
#pragma once

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "bproc_local.h"
#include "sys/bproc.h"
#include "sys/bproc_job.h"

#pragma GCC visibility push(hidden)

// Records the sentence behind errno and answers -1 with errno set to error.
int bplib_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bplib_set_reason(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Bytes from start to end are in use.
struct bplib_buffer {
    unsigned char *bytes;
    size_t capacity, start, end;
};
void bplib_buffer_free(struct bplib_buffer *buffer);
// Room for byte_count more bytes behind end, moving what is in use to the front first. 0, or -1
// with ENOMEM.
int bplib_buffer_reserve(struct bplib_buffer *buffer, size_t byte_count);
void bplib_buffer_append(struct bplib_buffer *buffer, const void *bytes, size_t byte_count);

// One stream of messages, always non-blocking; the waiting is done by poll.
struct bplib_channel {
    int descriptor; // -1: closed
    int received[2]; // descriptors that came with the bytes read last; -1: none
    bool ended;     // the other side has closed
    size_t read_bytes; // room for one read
    struct bplib_buffer in, out;
    struct bproc_local_welcome welcome;
};

struct bplib_message {
    struct bproc_local_header header;
    const unsigned char *body; // inside the channel's buffer: valid until the next read
};

// Connects to the daemon and exchanges hello and welcome.
int bplib_channel_open(struct bplib_channel *channel);
// The same in two steps: what is queued between them goes with the hello.
int bplib_channel_connect(struct bplib_channel *channel);
int bplib_channel_greet(struct bplib_channel *channel);
// Takes over a connected socket.
int bplib_channel_adopt(struct bplib_channel *channel, int descriptor);
void bplib_channel_close(struct bplib_channel *channel);
// Fails with ECONNRESET: the other end of this socket, whose name the sentence says, is gone.
int bplib_fail_lost(int descriptor, const char *consequence);
// Appends a message to what is to be sent.
int bplib_channel_queue(struct bplib_channel *channel, uint16_t kind, const struct iovec *parts,
                        int part_count);
// Sends what the socket takes. 0 or -1.
int bplib_channel_flush(struct bplib_channel *channel);
// Sends everything queued, waiting where needed; attachment (or -1) goes with the first byte. The
// other side may not be silent for longer than timeout_milliseconds (-1: for ever).
int bplib_channel_send(struct bplib_channel *channel, int attachment, int timeout_milliseconds);
// Reads what is there. 1: something came; 0: nothing now; -1: errno. At the end: ended, and 0.
int bplib_channel_read(struct bplib_channel *channel);
// The message whose header is at offset (from in.start). 1: it is there as a whole; 0: not yet; -1
// with EPROTO: these are no messages of this protocol.
int bplib_channel_peek(const struct bplib_channel *channel, size_t offset,
                       struct bplib_message *message);
// Waits for poll's events. 1, 0 after the time, or -1.
int bplib_channel_wait(const struct bplib_channel *channel, short events, int timeout_milliseconds);
// Waits for one message and takes it off the buffer.
int bplib_channel_receive(struct bplib_channel *channel, struct bplib_message *message,
                          int timeout_milliseconds);
// Receives, and fails if it is a refusal or of another kind or shorter than byte_count.
int bplib_channel_expect(struct bplib_channel *channel, struct bplib_message *message,
                         uint16_t kind, size_t byte_count, const char *what);

// A local daemon answers such requests at once; one that is stopped must not hang its callers.
enum { BPLIB_ANSWER_MILLISECONDS = 30000 };

// The bytes of an attribute that somebody has set. Their number, or -1.
int bplib_request_attribute(int node, const char *name, void *value, int size);

// ---- Images ----

// What the daemon lends: its executable, so that no path has to be known, and on a node the
// caller's directory in /proc, which the caller may not see. -1: not lent. And what it says of the
// costs of its network.
struct bplib_helper {
    int program, directory;
    struct bproc_local_network network;
};
// For who needs nothing else of a daemon, and gets an installed one where none runs. 0 or -1.
int bplib_request_helper(struct bplib_helper *helper);
// Takes the daemon's answer to BPROC_LOCAL_HELPER_REQUEST. 0 or -1.
int bplib_take_helper(struct bplib_channel *channel, struct bplib_helper *helper);
void bplib_return_helper(const struct bplib_helper *helper);
// Starts the helper on its end of a socket pair, with this signal mask (NULL: as now); all signals
// are blocked. It is not a child of the caller; its end is the end of its socket. Its pid, or -1.
pid_t bplib_start_helper(const struct bplib_helper *helper, int socket, const sigset_t *mask);
// What a helper in a role is executed with.
struct bplib_helper_words {
    char name[32], option[32], socket[32];
    char *argv[4], *envp[2];
};
void bplib_word_helper(struct bplib_helper_words *words, const char *role, int own_socket);
// From here to the end, orphans below the caller become its children (1) or do not (0). Answers how
// it was. One thread at a time.
int bplib_begin_orphans(int adopts);
void bplib_end_orphans(int before);
// In a restored process, whose image was taken between the two.
void bplib_forget_orphans(void);
// The image that came with a helper's answer, or -1 with what the answer says. Takes the descriptor
// over.
int bplib_accept_image(const char *what, const struct bproc_local_header *header,
                       const void *body, int *descriptor, struct bproc_capture_info *info);

// The image, or in its place its packed form, if that arrives earlier where the helper's daemon
// sends it. All signals are blocked.
int bplib_pack(const struct bplib_helper *helper, int image);

// Memory from one address to another, in whole pages; {0, 0}: none.
struct bplib_stretch {
    uint64_t start, end;
};

// Saves what a function call keeps. 0; and 1 in the process that is restored from the image.
int bplib_save_registers(struct bproc_local_registers *registers)
    __attribute__((returns_twice));

enum { BPLIB_RESTORED = -2 };
// Writes the caller's image to a file that can be written at any offset. Its length, with all
// signals blocked and *mask the mask to set again; -1 with everything as before; BPLIB_RESTORED in
// the restored process, which has its mask and knows its place. The directory in /proc is for
// callers that see none; -1: none was lent. What is left out others write to meanwhile.
int64_t bplib_capture_caller(int lent_directory, struct bplib_stretch left_out, int file,
                             uint64_t offset, sigset_t *mask);
// The same into a memory file, which nobody can change afterwards: its descriptor.
int bplib_image_of_caller(const struct bplib_helper *helper, struct bplib_stretch left_out,
                          sigset_t *mask);
// EBUSY for a caller with several threads, EPERM for one with rights that are not its user's. 0 or
// -1.
int bplib_check_caller(void);
// EINVAL for anything but BPROC_DUMP_ bits. 0 or -1.
int bplib_check_flags(int flags);
// The same, and BPROC_END_WITH_CALLER.
int bplib_check_start_flags(int flags);
void bplib_set_mask(const sigset_t *mask);

// What a call that starts processes begins with: one connection, which lends the helper and then
// carries the launch, and the node that the caller is on.
struct bplib_start {
    struct bplib_channel channel;
    struct bplib_helper helper; // without program: no daemon answers; errno says why
    int node;
};
// 0; -1 for another failure than that there is no daemon.
int bplib_begin(struct bplib_start *start);
void bplib_end(struct bplib_start *start);
// In a restored process, in which the numbers of the descriptors mean others: frees the memory.
void bplib_forget(struct bplib_start *start);
// The numbers that ranks shall have.
struct bplib_numbers {
    const int *processes; // pids of the front end; NULL: the daemon chooses
    bool are_own;         // the caller's, who is about to become the rank; else its ghosts'
    uint32_t first_rank;  // what rank 0 takes for its rank
    bool wants_stops;     // somebody mirrors the stops of the ranks
    bool may_differ;      // where a pid is taken, the rank runs under another
};
// Launches an image (closed here) over a connection, which becomes the job's, and waits until every
// rank has started or failed. NULL: nothing has started.
bproc_job_t *bplib_launch(struct bplib_channel *channel, int image, int rank_count,
                          const int *nodes, const struct bplib_numbers *numbers,
                          const struct bproc_io_t *io, int iolen, const char *command);

// Ghosts: what the ranks of a launch are among the caller's children.
struct bplib_ghosts;
// Has them made, beside what the caller does next. All signals are blocked from here to the end of
// the launch's first part, or of the ghosts. NULL: not at all.
struct bplib_ghosts *bplib_begin_ghosts(const struct bplib_helper *helper, int count,
                                        const char *name);
// The same for a caller that is about to move: it will be the one ghost itself. All signals stay
// blocked.
struct bplib_ghosts *bplib_begin_own_ghost(const struct bplib_helper *helper, const char *name);
// Has the caller traced as the ghost of the job's one rank, whose server takes the job over. The
// page, of the caller's own, becomes a bproc_local_own_ghost. 0; -1: it is no ghost.
int bplib_become_ghost(struct bplib_ghosts *ghosts, bproc_job_t *job, void *page);
// Whatever is left of them ends with this, unless it was adopted.
void bplib_end_ghosts(struct bplib_ghosts *ghosts);
// In a restored process: frees the memory, and sets the caller's mask.
void bplib_forget_ghosts(struct bplib_ghosts *ghosts);
// What an image that is taken while they begin has to be without.
struct bplib_stretch bplib_ghosts_stretch(const struct bplib_ghosts *ghosts);
// Waits for all of them, and lets go of what the beginning holds. 0; -1: not all can be made.
int bplib_take_ghosts(struct bplib_ghosts *ghosts);
const int *bplib_ghost_pids(const struct bplib_ghosts *ghosts);
// Those of ranks that have started become the caller's children. Their server gets the job's
// channel, or (watch, not -1) another on which it hears of the job. Until they are confirmed, they
// end with the caller. 0 or -1.
int bplib_adopt_ghosts(struct bplib_ghosts *ghosts, bproc_job_t *job, int watch,
                       bool end_with_caller);
// The call that has made them is about to succeed.
void bplib_confirm_ghosts(struct bplib_ghosts *ghosts);
// bplib_launch with ranks that are children of the caller, whose ghosts have begun and end here:
// pids[] gets their pids, or negated error numbers for those that have not started. The number of
// ranks, or -1: then there was never a child.
int bplib_launch_children(struct bplib_start *start, struct bplib_ghosts *ghosts, int image,
                          int rank_count, const int *nodes, const struct bproc_io_t *io, int iolen,
                          bool end_with_caller, const char *command, int *pids);
// Opens what io describes, under numbers above all that it names; 0 or -1. Then, in a child, puts
// it in its place; 0 or -1.
int bplib_open_io(const struct bproc_io_t *io, int count, int *descriptors);
int bplib_place_io(const struct bproc_io_t *io, int count, const int *descriptors);
void bplib_close_io(const int *descriptors, int count);
int bplib_check_request(const struct bproc_job_request *request);
// Sends a launch over this connection, which becomes the job's, or over a new one (NULL). 0 or -1.
int bplib_launch_job(struct bplib_channel *channel, const struct bproc_job_request *request,
                     struct bplib_numbers numbers, bproc_job_t **result);
// The arguments that every call with I/O entries checks first. 0 or -1.
int bplib_check_io(const struct bproc_io_t *io, int iolen);

// XXH3-64 of more than 240 bytes, of which the first BP_XXH3_BLOCK are read from first where there
// are more than those.
uint64_t bplib_checksum(const unsigned char *first, const unsigned char *bytes,
                        uint64_t byte_count);

// The features of the CPU, in eight words (bp_cpu.h), and XCR0.
uint64_t bplib_features(uint32_t *words);
// In a restored process, which may have come to another CPU.
void bplib_forget_features(void);

// Where a restored process is; magic 0 in one that never was.
extern struct bproc_local_place bplib_place;
bool bplib_has_place(void);
// For a new program, which has no record to find the daemon by: the environment with the socket of
// the daemon here, where there is a place. NULL: no memory.
char **bplib_environment_here(char *const envp[]);
void bplib_free_environment(char **environment);
// Executes an image's file, which is closed if that fails. -1.
int bplib_become(int file, char *name);
// Executes a program of this machine's own files. -1.
int bplib_execute_here(const char *cmd, char *const argv[], char *const envp[]);

// The sentence in a message's fixed field, which may lack its NUL.
void bplib_copy_text(char *text, size_t text_bytes, const char *field, size_t field_bytes);

// Whether a caller's list of descriptors is one: EINVAL, EFAULT, or EPERM for a type that is ours.
int bplib_check_io(const struct bproc_io_t *io, int io_count);

// Forgets the descriptor without closing it: in this process the number means something else.
void bplib_job_disown(bproc_job_t *job);
// Gives the connection a number above this one.
void bplib_job_move_above(bproc_job_t *job, int highest);
// Memory for a stand-in: NULL if there is none. The directory in /proc is for callers that see
// none.
struct bp_stand_in;
struct bp_stand_in *bplib_prepare_stand_in(int lent_directory);
void bplib_drop_stand_in(struct bp_stand_in *state);
// Ends this process as the one rank of the job ends; until then it stands for the rank: as its
// ghost where one has begun and the server does its part, or by itself.
_Noreturn void bplib_stand_in(struct bp_stand_in *state, bproc_job_t *job,
                              struct bplib_ghosts *ghosts);
// Takes back what the C library has told the kernel of the area of restartable sequences.
void bplib_leave_rseq(void);
// Closes everything from 3 on but these; a negative number is none.
void bplib_close_others(const int kept[2]);
// What that is, in at most one range more than are kept. How many.
struct bplib_number_range {
    unsigned first, last;
};
int bplib_find_others(const int *kept, int count, struct bplib_number_range *others);

#pragma GCC visibility pop
