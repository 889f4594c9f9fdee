// Checks a hash over all of its initialised data (data.S includes the file) and ends with the
// verdict.
#include <stdint.h>
#include <stdlib.h>

extern const unsigned char bp_data[], bp_data_end[];

int main(int count, char **list) {
    uint64_t hash = 14695981039346656037u;
    for (const unsigned char *at = bp_data; at < bp_data_end; at++)
        hash = (hash ^ *at) * 1099511628211u;
    return count == 2 && hash == strtoull(list[1], 0, 16) ? 42 : 1;
}
