// Lets one restore run to its end before everything else that wants the processor.
//
// The daemon takes the lowest real-time priority, in turns, and stays on its processor; the child
// inherits both, so it runs as soon as the daemon waits for its exec, and the daemon again when the
// restore is done or a turn of 0.1 s is over: an image cannot keep the processor for longer. With a
// thousand daemons on two processors a restore then takes 0.2 ms instead of 50: as an ordinary
// process it is moved to the other processor in the middle of exec, and waits there for its turn.
#pragma once
#include <sys/types.h>
#include "scheduling.h"

struct precedence {
    int taken;
    struct scheduling usual;
    unsigned long processors[128]; /* the daemon's own mask, for up to 8192 of them */
};

// Leaves `taken` unset, and everything as it is, where the kernel does not allow it.
void take_precedence(struct precedence *precedence);
// The daemon is what it was. The child is now what the program is to be, if it has not made itself
// so: the stub's bp_become_program does.
void give_precedence_back(const struct precedence *precedence, pid_t child,
                          const struct scheduling *program);
