#include "vdso.h"
#include "freestanding.h"

enum { ARCH_MAP_VDSO_64_ = 0x2003, PAGE = BP_IMAGE_PAGE };

// Reads memory that may not be there: a fault would end the process without a word.
BP_INLINE long bp_peek(void *target, uint64_t address, uint64_t byte_count) {
    uint64_t local[2] = {(uint64_t)target, byte_count};
    uint64_t remote[2] = {address, byte_count};
    long self = bp_call3(BP_SYS_GETPID, 0, 0, 0);
    return bp_call6(BP_SYS_PROCESS_VM_READV, self, (long)local, 1, (long)remote, 1, 0);
}

BP_BLOB static int bp_same_vdso(const struct bp_image_header *header, const unsigned char *old) {
    unsigned char page[PAGE];
    for (uint64_t offset = 0; offset < header->vdso_byte_count; offset += PAGE) {
        if (bp_peek(page, header->vdso_address + offset, PAGE) != PAGE) return 0;
        if (!bp_equal(page, old + offset, PAGE)) return 0;
    }
    return 1;
}

// The whole address space is empty but for the stub's home, as ARCH_MAP_VDSO_64 wants it: it takes
// the address as a hint only, and allows one vDSO per process.
BP_BLOB long bp_place_vdso(const struct bp_image_header *header, const unsigned char *old,
                           uint64_t *detail) {
    if (header->vdso_byte_count == 0) return 0;
    *detail = header->vdso_address;
    long result = bp_call3(BP_SYS_ARCH_PRCTL, ARCH_MAP_VDSO_64_, (long)header->vvar_address, 0);
    if (result < 0) return result;
    if (!bp_same_vdso(header, old)) return -BP_ENOEXEC;
    return 0;
}
