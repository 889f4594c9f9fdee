// A library whose constructor makes an address space that is hard to carry, before the program's
// entry: two thousand mappings, a terabyte that nobody has touched but for one page, PROT_NONE with
// content, zero pages that were only read. The destructor says whether all of it has come along.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COUNT = 2000, PAGE = 4096 };
static const size_t terabyte = 1ul << 40;
static char *pages, *reserved, *hidden, *zeros;

static char *map(size_t byte_count, int protection, int flags) {
    char *at = mmap(NULL, byte_count, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        _exit(90);
    }
    return at;
}

__attribute__((constructor)) static void build(void) {
    // Neighbours with different rights do not become one mapping.
    pages = map((size_t)COUNT * PAGE, PROT_READ | PROT_WRITE, 0);
    for (int i = 0; i < COUNT; i++) {
        memset(pages + (size_t)i * PAGE, i % 250 + 1, 8);
        if (i % 2) mprotect(pages + (size_t)i * PAGE, PAGE, PROT_READ);
    }
    reserved = map(terabyte, PROT_READ | PROT_WRITE, MAP_NORESERVE);
    if (getenv("BPROC_TOUCH")) strcpy(reserved + terabyte / 2, "in the middle");
    hidden = map(3 * PAGE, PROT_READ | PROT_WRITE, 0);
    strcpy(hidden + PAGE, "hidden");
    mprotect(hidden, 3 * PAGE, PROT_NONE);
    zeros = map(100 * PAGE, PROT_READ | PROT_WRITE, 0);
    volatile char sum = 0;
    for (int i = 0; i < 100; i++) sum += zeros[i * PAGE];
}

__attribute__((destructor)) static void look(void) {
    int failures = 0;
    for (int i = 0; i < COUNT; i++) {
        const char *page = pages + (size_t)i * PAGE;
        failures += page[7] != (char)(i % 250 + 1) || page[8] != 0;
    }
    // Writable where it was writable.
    pages[0] = 77;
    if (getenv("BPROC_TOUCH")) failures += strcmp(reserved + terabyte / 2, "in the middle") != 0;
    reserved[terabyte - 1] = 1;
    failures += reserved[0] != 0;
    mprotect(hidden, 3 * PAGE, PROT_READ);
    failures += strcmp(hidden + PAGE, "hidden") != 0 || hidden[0] != 0;
    for (int i = 0; i < 100; i++) failures += zeros[i * PAGE] != 0;
    printf(failures ? "%d pages wrong\n" : "mappings well\n", failures);
    fflush(stdout);
}
