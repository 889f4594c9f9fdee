// Writes the workload's data, and a header with its size and hash.
//
//   makedata BYTES random|half DATA-FILE HEADER-FILE
//
// random: nothing can compress it. half: in every 64 bytes the second 32 are the same everywhere,
// so that LZ4 halves it while no page is zero or equal to another.

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t nextRandom(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int complain(const char *what)
{
    perror(what);
    return 1;
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: makedata BYTES random|half DATA-FILE HEADER-FILE\n");
        return 2;
    }
    size_t byteCount = strtoull(arguments[1], NULL, 10);
    int half = strcmp(arguments[2], "half") == 0;
    if (byteCount == 0 || byteCount % 64 || byteCount > (1ul << 30)
        || (!half && strcmp(arguments[2], "random") != 0)) {
        fprintf(stderr, "makedata: BYTES is a multiple of 64 up to 1 GiB, then random or half\n");
        return 2;
    }
    uint64_t *words = malloc(byteCount);
    if (!words)
        return complain("makedata: memory");
    uint64_t state = 0x2545f4914f6cdd1du;
    for (size_t i = 0; i < byteCount / 8; i++)
        words[i] = half && i % 8 >= 4 ? 0x6270726f63627072u : nextRandom(&state);
    FILE *data = fopen(arguments[3], "wb");
    if (!data || fwrite(words, 1, byteCount, data) != byteCount || fclose(data) != 0)
        return complain(arguments[3]);
    FILE *header = fopen(arguments[4], "w");
    if (!header)
        return complain(arguments[4]);
    fprintf(header, "#define WORKLOAD_BYTE_COUNT %zuu\n#define WORKLOAD_HASH 0x%016llxu\n",
            byteCount, (unsigned long long)XXH3_64bits(words, byteCount));
    if (fclose(header) != 0)
        return complain(arguments[4]);
    free(words);
    return 0;
}
