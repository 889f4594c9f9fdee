// Descriptors of processes that go on beside or instead of the caller.
#define _GNU_SOURCE
#include "internal.h"

#include <unistd.h>

// What a helper or a stand-in has open beyond its needs keeps other people's pipes open.
int bplib_find_others(const int *kept, int count, struct bplib_number_range *others) {
    unsigned next = STDERR_FILENO + 1;
    int found = 0;
    for (;;) {
        unsigned lowest = ~0u;
        for (int i = 0; i < count; i++) {
            if (kept[i] >= (int)next && (unsigned)kept[i] < lowest) lowest = (unsigned)kept[i];
        }
        if (lowest == ~0u) break;
        if (lowest > next) others[found++] = (struct bplib_number_range){next, lowest - 1};
        next = lowest + 1;
    }
    others[found++] = (struct bplib_number_range){next, ~0u};
    return found;
}

void bplib_close_others(const int kept[2]) {
    struct bplib_number_range others[3];
    int count = bplib_find_others(kept, 2, others);
    for (int i = 0; i < count; i++) (void)close_range(others[i].first, others[i].last, 0);
}
