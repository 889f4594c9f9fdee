// Descriptors that a rank shall have: made in its own process, as its user, where nobody waits for
// them but the rank.
#pragma once
#include "stub.h"

// Reads a decimal number with an optional sign; stops at ':' (and passes it) or at the end.
int bp_take_number(const char **text, int64_t *value) __attribute__((visibility("hidden")));

// An argument of the restorer that is an item, and one that is set up after all else has started.
int bp_is_item(const char *text) __attribute__((visibility("hidden")));
int bp_is_delayed(const char *text) __attribute__((visibility("hidden")));

struct bp_item_failure {
    int step; /* bp_restore_step */
    long error; /* negated errno */
    uint64_t detail;
};

// Sets one item up; moves the image's or the status descriptor away if it is in the place. Answers
// 0, or -1 with the failure filled.
int bp_set_up_item(struct bp_stub_arguments *arguments, const char *text,
                   struct bp_item_failure *failure) __attribute__((visibility("hidden")));

// Keeps a delayed item with the stub's arguments. Answers 0, or -1 where they have no room.
int bp_keep_item(struct bp_stub_arguments *arguments, const char *text)
    __attribute__((visibility("hidden")));
