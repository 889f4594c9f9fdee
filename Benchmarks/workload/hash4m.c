// The benchmark's program: exits 0 when all of its data arrived unchanged, 1 when not.
//
// With the argument `report` it also says so, with the two hashes.

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>
#include <string.h>

#include WORKLOAD_HEADER

extern const unsigned char workloadData[WORKLOAD_BYTE_COUNT];

int main(int count, char **arguments)
{
    XXH64_hash_t hash = XXH3_64bits(workloadData, WORKLOAD_BYTE_COUNT);
    int right = hash == WORKLOAD_HASH;
    if (count > 1 && strcmp(arguments[1], "report") == 0)
        printf("%u bytes, hash %016llx, expected %016llx: %s\n", WORKLOAD_BYTE_COUNT,
               (unsigned long long)hash, (unsigned long long)WORKLOAD_HASH,
               right ? "right" : "wrong");
    return right ? 0 : 1;
}
