// What is left of a process that has moved: it stands where the process was started, so that its
// parent and its shell see it live, stop and end as the moved one does.
//
// The code is copied out of the library into the few pages that stay, and gives everything else
// back: the memory of the process is where the process is. It speaks of one rank only, rank 0 of
// its job, and of the messages of bproc_local.h it needs three.
#include "CRestore.h"
#include "bproc_local.h"
#include "freestanding.h"
#include "homecoming.h"

#define BP_STAND_IN                                                                                \
    __attribute__((section("bp_standin"), used, retain, noinline, visibility("hidden"),            \
                   disable_sanitizer_instrumentation, no_profile_instrument_function))

enum {
    SYS_POLL = 7, SYS_RT_SIGPROCMASK = 14, SYS_KILL = 62, SYS_FUTEX = 202,
    POLL_IN = 1, POLL_OUT = 4,
    NO_SIGNAL = 0x4000, // MSG_NOSIGNAL
    SIGNAL_KILL = 9, SIGNAL_CHILD = 17, SIGNAL_STOP = 19, SIGNAL_TTOU = 22,
    LIMIT_CORE = 4, SIGNAL_CONTINUE = 18,
    HAS_EXITED = 1, OUTPUT_ENDED = 2, ERRORS_ENDED = 4, IS_OVER = 7,
    IS_NOT_NEEDED = 8, // the moved process goes on without this one
    READ_BYTES = 8 << 10,
    STATUS_LOST = 255, // nobody knows how the moved process ended
};

struct waited {
    int32_t descriptor;
    int16_t events, found;
};

BP_INLINE void wait_for(int32_t descriptor, int16_t events) {
    struct waited entry = {descriptor, events, 0};
    bp_call3(SYS_POLL, (long)&entry, 1, -1);
}

// Writes everything, to the connection or to where output goes. A negated errno, or 0.
BP_STAND_IN static long write_fully(int32_t descriptor, const void *bytes, size_t byte_count,
                                    int is_socket) {
    const unsigned char *next = bytes;
    while (byte_count > 0) {
        long count = is_socket ? bp_call6(BP_SYS_SENDTO, descriptor, (long)next, (long)byte_count,
                                          NO_SIGNAL, 0, 0)
                               : bp_call3(BP_SYS_WRITE, descriptor, (long)next, (long)byte_count);
        if (count == -BP_EAGAIN) {
            wait_for(descriptor, POLL_OUT);
        } else if (count > 0) {
            next += count;
            byte_count -= (size_t)count;
        } else if (count != -BP_EINTR) {
            return count < 0 ? count : -BP_EIO;
        }
    }
    return 0;
}

BP_STAND_IN static void say(const struct bp_stand_in *state, uint16_t kind, const void *body,
                            uint32_t byte_count) {
    struct {
        struct bproc_local_header header;
        unsigned char body[sizeof(struct bproc_local_credit)];
    } message;
    message.header.magic = BPROC_LOCAL_MAGIC;
    message.header.version = BPROC_LOCAL_VERSION;
    message.header.kind = kind;
    message.header.body_bytes = byte_count;
    message.header.request = 0;
    bp_copy(message.body, body, byte_count);
    (void)write_fully(state->job, &message, sizeof message.header + byte_count, 1);
}

// Ends as a wait status says, without a core of its own.
BP_STAND_IN static _Noreturn void end_as(int32_t status) {
    long number = status & 0x7f;
    if (number != 0 && number != 0x7f) {
        const uint64_t none[2] = {0, 0}, mask = ~((uint64_t)1 << (number - 1));
        const uint64_t usual[4] = {0, 0, 0, 0};
        bp_call4(BP_SYS_PRLIMIT64, 0, LIMIT_CORE, (long)none, 0);
        bp_call4(BP_SYS_RT_SIGACTION, number, (long)usual, 0, 8);
        bp_call3(SYS_KILL, bp_call3(BP_SYS_GETPID, 0, 0, 0), number, 0);
        bp_call4(SYS_RT_SIGPROCMASK, 2 /* SIG_SETMASK */, (long)&mask, 0, 8);
        // A signal whose default is not to end a process cannot have ended the other one.
        status = (int32_t)(128 + number) << 8;
    }
    for (;;) bp_call3(BP_SYS_EXIT_GROUP, status >> 8 & 0xff, 0, 0);
}

// Passes the signals on that have come. A stop by the terminal is one for both.
BP_STAND_IN static void pass_signals(const struct bp_stand_in *state) {
    uint32_t information[32]; // struct signalfd_siginfo
    while (bp_call3(BP_SYS_READ, state->signals, (long)information, sizeof information) ==
           sizeof information) {
        uint32_t number = information[0];
        if (number == SIGNAL_CHILD) continue;
        // With it the daemon has let go on who was stopped; the stop itself it has passed on.
        if (number == SIGNAL_CONTINUE && (state->ended & IS_NOT_NEEDED)) continue;
        const struct bproc_local_signal request = {.rank = 0, .signal = (int32_t)number};
        say(state, BPROC_LOCAL_SIGNAL, &request, sizeof request);
        if (number > SIGNAL_STOP && number <= SIGNAL_TTOU) {
            bp_call3(SYS_KILL, bp_call3(BP_SYS_GETPID, 0, 0, 0), SIGNAL_STOP, 0);
        }
    }
}

BP_INLINE void drop(struct bp_stand_in *state, uint32_t byte_count) {
    bp_copy(state->bytes, state->bytes + byte_count, state->have - byte_count);
    state->have -= byte_count;
}

// Hands output on as far as it is here, and gives credit for it.
BP_STAND_IN static void pass_output(struct bp_stand_in *state) {
    uint32_t count = state->have < state->output_left ? state->have : state->output_left;
    (void)write_fully(1, state->bytes, count, 0);
    const struct bproc_local_credit credit = {
        .rank = 0, .stream = state->stream, .byte_count = count};
    say(state, BPROC_LOCAL_OUTPUT_CREDIT, &credit, sizeof credit);
    drop(state, count);
    state->output_left -= count;
}

BP_STAND_IN static void note_exit(struct bp_stand_in *state,
                                  const struct bproc_local_exit *record) {
    state->status = record->status;
    if (record->cause == BPROC_LOCAL_CAUSE_MOVED) state->ended |= IS_NOT_NEEDED | IS_OVER;
    // A node that died took the streams with it.
    state->ended |= record->cause != 0 || !state->is_forwarding ? IS_OVER : HAS_EXITED;
}

// Takes one message, or a part of one, off the buffer. 0: more has to come; -1: no sense in it.
BP_STAND_IN static int take(struct bp_stand_in *state) {
    struct bproc_local_header header;
    const uint32_t head = sizeof header;
    if (state->have == 0) return 0;
    if (state->output_left > 0) {
        pass_output(state);
        return 1;
    }
    if (state->skipped_left > 0) {
        uint32_t count = state->have < state->skipped_left ? state->have : state->skipped_left;
        drop(state, count);
        state->skipped_left -= count;
        return 1;
    }
    if (state->have < head) return 0;
    bp_copy(&header, state->bytes, head);
    if (header.magic != BPROC_LOCAL_MAGIC || header.version != BPROC_LOCAL_VERSION) return -1;
    uint32_t needed = header.kind == BPROC_LOCAL_OUTPUT ? sizeof(struct bproc_local_stream)
                      : header.kind == BPROC_LOCAL_EXIT && header.body_bytes > 0
                          ? sizeof(struct bproc_local_exit)
                          : 0;
    if (header.body_bytes < needed) return -1;
    if (state->have < head + needed) return 0;
    if (header.kind == BPROC_LOCAL_OUTPUT) {
        struct bproc_local_stream stream;
        bp_copy(&stream, state->bytes + head, sizeof stream);
        state->stream = stream.stream;
        state->output_left = header.body_bytes - needed;
        if (state->output_left == 0)
            state->ended |= stream.stream == 1 ? OUTPUT_ENDED : ERRORS_ENDED;
    } else {
        struct bproc_local_exit record;
        bp_copy(&record, state->bytes + head, sizeof record);
        if (needed > 0) note_exit(state, &record);
        state->skipped_left = header.body_bytes - needed;
    }
    drop(state, head + needed);
    return 1;
}

// A server traces this process, takes its signals, and says how it is to end.
BP_STAND_IN static _Noreturn void be_ghost(struct bproc_local_own_ghost *ghost) {
    const uint64_t none = 0;
    bp_call4(SYS_RT_SIGPROCMASK, 2 /* SIG_SETMASK */, (long)&none, 0, 8);
    for (;;) {
        uint32_t order = __atomic_load_n(&ghost->order, __ATOMIC_ACQUIRE);
        if (order == BPROC_LOCAL_GHOST_END) end_as(ghost->status);
        if (order == BPROC_LOCAL_GHOST_GO) bp_go_home(&ghost->home);
        if (order == BPROC_LOCAL_GHOST_COME && ghost->home.state == 0) {
            bp_come_home(&ghost->home, ghost->server);
            continue;
        }
        bp_call4(SYS_FUTEX, (long)&ghost->order, 0 /* FUTEX_WAIT */, order, 0);
    }
}

_Noreturn BP_STAND_IN void bp_stand_in_main(struct bp_stand_in *state) {
    const uint64_t end = state->start + state->byte_count;
    const uint64_t last = state->arguments > end ? state->arguments : BP_IMAGE_USER_END;
    bp_call3(BP_SYS_MUNMAP, 0, (long)state->start, 0);
    bp_call3(BP_SYS_MUNMAP, (long)end, (long)(last - end), 0);
    if (state->is_ghost) be_ghost((struct bproc_local_own_ghost *)state->shared);
    state->status = STATUS_LOST << 8;
    struct waited entries[2] = {{state->job, POLL_IN, 0}, {state->signals, POLL_IN, 0}};
    for (;;) {
        int taken;
        while ((taken = take(state)) > 0) {}
        if (entries[1].found || (state->ended & IS_NOT_NEEDED)) pass_signals(state);
        if (taken < 0 || (state->ended & IS_OVER) == IS_OVER) end_as(state->status);
        entries[0].found = entries[1].found = 0;
        long count = bp_call3(SYS_POLL, (long)entries, 2, -1);
        if (count < 0 && count != -BP_EINTR) end_as(state->status);
        if (!entries[0].found) continue;
        count = bp_call3(BP_SYS_READ, state->job, (long)(state->bytes + state->have), READ_BYTES);
        if (count > 0) state->have += (uint32_t)count;
        else if (count != -BP_EAGAIN && count != -BP_EINTR) end_as(state->status);
    }
}
