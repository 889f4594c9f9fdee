// A helper that starts while its caller goes on, with an image of itself for instance.
#pragma once

#include "internal.h"

#pragma GCC visibility push(hidden)

struct bplib_beside {
    // Shared with the two processes that begin: left out of an image, and gone in who comes from
    // one. NULL: there is none.
    struct beside_memory *memory;
    pid_t between; // the caller's child, which gives no signal when it ends; -1: buried
    int helper;    // pidfd of its child, the helper; -1
};

// Starts one in this role, which speaks through the socket (the caller's until it has begun). All
// signals are blocked. 0 or -1.
int bplib_begin_beside(struct bplib_beside *beside, const struct bplib_helper *helper, int socket,
                       const char *role);
// Waits until it runs. 0; -1: it does not.
int bplib_await_beside(struct bplib_beside *beside);
// Kills the helper, if it runs. Its child between ends with it.
void bplib_kill_beside(struct bplib_beside *beside);
// Waits for the end of between.
void bplib_bury_beside(struct bplib_beside *beside);
// What an image has to be without.
struct bplib_stretch bplib_beside_stretch(const struct bplib_beside *beside);

#pragma GCC visibility pop
