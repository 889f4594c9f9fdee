// Descriptors of processes that go on beside or instead of the caller.
#define _GNU_SOURCE
#include "internal.h"

#include <unistd.h>

// What a helper or a stand-in has open beyond its needs keeps other people's pipes open.
void bplib_close_others(const int *kept, int count) {
    unsigned next = STDERR_FILENO + 1;
    for (;;) {
        unsigned lowest = ~0u;
        for (int i = 0; i < count; i++) {
            if (kept[i] >= (int)next && (unsigned)kept[i] < lowest) lowest = (unsigned)kept[i];
        }
        if (lowest == ~0u) break;
        if (lowest > next) (void)close_range(next, lowest - 1, 0);
        next = lowest + 1;
    }
    (void)close_range(next, ~0u, 0);
}
