// Compiled three times, with -DXXH3_NAME and the matching -m flags: the header picks its vector
// code at compile time, the caller picks the function at run time.

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stddef.h>
#include <stdint.h>

uint64_t XXH3_NAME(const void *bytes, size_t byteCount);

uint64_t XXH3_NAME(const void *bytes, size_t byteCount)
{
    return XXH3_64bits(bytes, byteCount);
}
