// The vDSO. A program's C library has stored addresses of its functions, so after the restore there
// must be working ones at the same places.
//
// The same vDSO as then: the kernel maps it there again. Another one (another kernel): the old
// bytes become plain memory, and each function that they export becomes a jump to the local one of
// that name, or a system call where the local vDSO has none.
#include "vdso.h"
#include "freestanding.h"

enum {
    ARCH_MAP_VDSO_64_ = 0x2003,
    PAGE = BP_IMAGE_PAGE,
    // Data pages before the code: 8 on Linux 6.18.
    MOST_PAGES_BEFORE = 64,
    MOST_SYMBOLS = 256,
    // The local vDSO goes into the middle of a hole of this size, out of the way of heap and stack.
    ROOM = 64 << 20,
    JUMP_BYTES = 12,
    PT_LOAD_ = 1, PT_DYNAMIC_ = 2, DT_HASH_ = 4, DT_STRTAB_ = 5, DT_SYMTAB_ = 6,
};

// "name\0" behind each number of a system call, two bytes; 0 ends the list.
extern const unsigned char bp_text_vdso_calls[] __attribute__((visibility("hidden")));
extern const char bp_text_vdso_prefix[] __attribute__((visibility("hidden")));

// A vDSO as a file: byte_count bytes from base on, all of which can be read.
struct bp_vdso {
    const unsigned char *base;
    uint64_t byte_count;
    uint64_t symbols, strings; /* offsets */
    uint32_t symbol_count;
};

struct bp_symbol {
    uint32_t name;
    unsigned char info, other;
    uint16_t section;
    uint64_t value, byte_count;
};

// Reads memory that may not be there: a fault would end the process without a word.
BP_INLINE long bp_peek(void *target, uint64_t address, uint64_t byte_count) {
    uint64_t local[2] = {(uint64_t)target, byte_count};
    uint64_t remote[2] = {address, byte_count};
    long self = bp_call3(BP_SYS_GETPID, 0, 0, 0);
    return bp_call6(BP_SYS_PROCESS_VM_READV, self, (long)local, 1, (long)remote, 1, 0);
}

BP_BLOB static int bp_same_vdso(const struct bp_image_header *header, const unsigned char *old) {
    for (uint64_t offset = 0; offset < header->vdso_byte_count; offset += PAGE) {
        uint64_t address = header->vdso_address + offset, word;
        if (bp_peek(&word, address, sizeof word) != sizeof word) return 0;
        if (!bp_equal_words((const void *)address, old + offset, PAGE)) return 0;
    }
    return 1;
}

BP_INLINE uint64_t bp_word(const struct bp_vdso *vdso, uint64_t offset) {
    return *(const uint64_t *)(vdso->base + offset);
}

// The tables of dynamic symbols. 0 if these bytes are not such a file.
BP_BLOB static int bp_open_vdso(struct bp_vdso *vdso, const unsigned char *base,
                                uint64_t byte_count) {
    vdso->base = base;
    vdso->byte_count = byte_count;
    vdso->symbols = vdso->strings = 0;
    vdso->symbol_count = 0;
    if (byte_count < PAGE || *(const uint32_t *)base != 0x464c457f /* \177ELF */) return 0;
    uint64_t headers = bp_word(vdso, 32), link_base = 0, dynamic = 0, dynamic_bytes = 0;
    uint32_t header_count = *(const uint16_t *)(base + 56);
    if (headers > PAGE || header_count > 16 || headers + 56 * header_count > byte_count) return 0;
    for (uint32_t i = 0; i < header_count; i++) {
        uint64_t at = headers + 56 * i;
        uint32_t type = *(const uint32_t *)(base + at);
        if (type == PT_LOAD_) link_base = bp_word(vdso, at + 16) - bp_word(vdso, at + 8);
        if (type != PT_DYNAMIC_) continue;
        dynamic = bp_word(vdso, at + 8);
        dynamic_bytes = bp_word(vdso, at + 32);
    }
    if (dynamic == 0 || dynamic > byte_count || dynamic_bytes > byte_count - dynamic) return 0;
    uint64_t hash = 0;
    for (uint64_t at = dynamic; at + 16 <= dynamic + dynamic_bytes; at += 16) {
        uint64_t value = bp_word(vdso, at + 8) - link_base;
        if (bp_word(vdso, at) == DT_SYMTAB_) vdso->symbols = value;
        if (bp_word(vdso, at) == DT_STRTAB_) vdso->strings = value;
        if (bp_word(vdso, at) == DT_HASH_) hash = value;
    }
    if (vdso->symbols == 0 || vdso->symbols >= byte_count || vdso->strings >= byte_count) return 0;
    // The hash table tells the number; without one, the names follow the symbols.
    if (hash != 0 && hash + 8 <= byte_count)
        vdso->symbol_count = *(const uint32_t *)(base + hash + 4);
    else if (vdso->strings > vdso->symbols)
        vdso->symbol_count = (uint32_t)((vdso->strings - vdso->symbols) / sizeof(struct bp_symbol));
    if (vdso->symbol_count > MOST_SYMBOLS) return 0;
    return vdso->symbols + vdso->symbol_count * sizeof(struct bp_symbol) <= byte_count;
}

BP_INLINE const struct bp_symbol *bp_symbol_at(const struct bp_vdso *vdso, uint32_t index) {
    return (const struct bp_symbol *)(vdso->base + vdso->symbols) + index;
}

// The name of a function that others may call; 0 for other symbols.
BP_BLOB static const char *bp_function_name(const struct bp_vdso *vdso, uint32_t index) {
    const struct bp_symbol *symbol = bp_symbol_at(vdso, index);
    uint32_t kind = symbol->info & 15;
    uint64_t name = vdso->strings + symbol->name;
    if (symbol->section == 0 || (kind != 2 /* function */ && kind != 0)) return 0;
    if (name >= vdso->byte_count || symbol->value == 0) return 0;
    if (symbol->value > vdso->byte_count - JUMP_BYTES) return 0;
    return (const char *)vdso->base + name;
}

// Names end inside the file: its last bytes are not those of a name.
BP_BLOB static int bp_same_name(const char *left, const char *right) {
    while (*left && *left == *right) left++, right++;
    return *left == *right;
}

// The address of the function in the local vDSO, or 0.
BP_BLOB static uint64_t bp_find_function(const struct bp_vdso *local, const char *name) {
    for (uint32_t i = 0; i < local->symbol_count; i++) {
        const char *found = bp_function_name(local, i);
        if (found && bp_same_name(found, name))
            return (uint64_t)local->base + bp_symbol_at(local, i)->value;
    }
    return 0;
}

// The number of the system call that does the same; 0: there is none.
BP_BLOB static uint32_t bp_call_number(const char *name) {
    int at = 0;
    while (bp_text_vdso_prefix[at] && name[at] == bp_text_vdso_prefix[at]) at++;
    if (!bp_text_vdso_prefix[at]) name += at;
    const unsigned char *entry = bp_text_vdso_calls;
    while (entry[0] | entry[1]) {
        if (bp_same_name((const char *)entry + 2, name))
            return entry[0] | (uint32_t)entry[1] << 8;
        for (entry += 2; *entry++;) {}
    }
    return 0;
}

// A system call: its arguments are in the same registers, and the answers alike. Number 0: an
// answer of ENOSYS.
BP_BLOB static void bp_write_call(unsigned char *code, uint32_t number) {
    uint32_t value = number ? number : (uint32_t)-38 /* ENOSYS */;
    *code++ = 0x48, *code++ = 0xc7, *code++ = 0xc0; /* mov $value, %rax, with its sign */
    for (int i = 0; i < 4; i++) *code++ = (unsigned char)(value >> 8 * i);
    if (number) *code++ = 0x0f, *code++ = 0x05; /* syscall */
    *code = 0xc3;                               /* ret */
}

BP_BLOB static void bp_write_jump(unsigned char *code, uint64_t target) {
    *code++ = 0x48, *code++ = 0xb8; /* movabs $target, %rax */
    for (int i = 0; i < 8; i++) *code++ = (unsigned char)(target >> 8 * i);
    *code++ = 0xff, *code = 0xe0; /* jmp *%rax */
}

// The middle of the lowest hole of at least ROOM bytes beside all that the image will map.
BP_BLOB static uint64_t bp_find_room(const struct bp_image_header *header,
                                     const struct bp_image_region *regions) {
    uint64_t taken[2][2];
    taken[0][0] = header->base_address;
    taken[0][1] = header->base_address + header->prefix_byte_count + header->scratch_byte_count;
    taken[1][0] = header->vvar_address;
    taken[1][1] = header->vdso_address + header->vdso_byte_count;
    uint64_t cursor = BP_IMAGE_LOWEST_ADDRESS;
    uint32_t next = 0;
    while (cursor < BP_IMAGE_USER_END) {
        // The lowest of what is not behind the cursor; the regions ascend.
        while (next < header->regions.count &&
               regions[next].address + regions[next].byte_count <= cursor)
            next++;
        uint64_t start = BP_IMAGE_USER_END, end = BP_IMAGE_USER_END;
        if (next < header->regions.count)
            start = regions[next].address, end = start + regions[next].byte_count;
        for (int i = 0; i < 2; i++)
            if (taken[i][1] > cursor && taken[i][0] < start) start = taken[i][0], end = taken[i][1];
        if (start > cursor && start - cursor >= ROOM)
            return (cursor + (start - cursor) / 2) & ~(uint64_t)(PAGE - 1);
        cursor = end;
    }
    return 0;
}

// Maps the kernel's vDSO where the image has nothing. 0 if there is none to be had.
BP_BLOB static int bp_map_local(const struct bp_image_header *header,
                                const struct bp_image_region *regions, struct bp_vdso *local) {
    uint64_t place = bp_find_room(header, regions);
    if (place == 0) return 0;
    long byte_count = bp_call3(BP_SYS_ARCH_PRCTL, ARCH_MAP_VDSO_64_, (long)place, 0);
    if (byte_count <= 0) return 0;
    for (uint64_t page = 0; page < MOST_PAGES_BEFORE; page++) {
        uint32_t magic = 0;
        uint64_t address = place + page * PAGE;
        if (bp_peek(&magic, address, sizeof magic) == sizeof magic && magic == 0x464c457f)
            return bp_open_vdso(local, (const unsigned char *)address, (uint64_t)byte_count);
    }
    return 0;
}

// The old bytes as plain memory, each function a way to the local one.
BP_BLOB static long bp_place_old(const struct bp_image_header *header, const unsigned char *old,
                                 const struct bp_vdso *local) {
    long byte_count = (long)header->vdso_byte_count;
    long at = bp_call6(BP_SYS_MMAP, (long)header->vdso_address, byte_count, 3 /* read, write */,
                       0x32 /* private, anonymous, fixed */, -1, 0);
    if (at < 0) return at;
    unsigned char *copy = (unsigned char *)at;
    bp_copy(copy, old, header->vdso_byte_count);
    // Names and values are taken from the image's own copy: the jumps go over the other one.
    struct bp_vdso vdso;
    if (!bp_open_vdso(&vdso, old, header->vdso_byte_count)) return -BP_ENOEXEC;
    // A function can have several names; one that nobody knows must not have the last word.
    for (int knows = 0; knows < 2; knows++) {
        for (uint32_t i = 0; i < vdso.symbol_count; i++) {
            const char *name = bp_function_name(&vdso, i);
            if (!name) continue;
            unsigned char *code = copy + bp_symbol_at(&vdso, i)->value;
            uint64_t target = bp_find_function(local, name);
            uint32_t number = bp_call_number(name);
            if (knows != (target || number)) continue;
            if (target) bp_write_jump(code, target);
            else bp_write_call(code, number);
        }
    }
    return bp_call3(BP_SYS_MPROTECT, at, byte_count, 5 /* read, execute */);
}

// The whole address space is empty but for the stub's home, as ARCH_MAP_VDSO_64 wants it: it takes
// the address as a hint only, and allows one vDSO per process.
BP_BLOB long bp_place_vdso(const struct bp_image_header *header,
                           const struct bp_image_region *regions, const unsigned char *old,
                           uint64_t *detail) {
    if (header->vdso_byte_count == 0) return 0;
    *detail = header->vdso_address;
    long mapped = bp_call3(BP_SYS_ARCH_PRCTL, ARCH_MAP_VDSO_64_, (long)header->vvar_address, 0);
    if (mapped >= 0 && bp_same_vdso(header, old)) return 0;
    // Away with it, wherever it came to lie: everything but the home.
    uint64_t home_end =
        header->base_address + header->prefix_byte_count + header->scratch_byte_count;
    bp_call3(BP_SYS_MUNMAP, 0, (long)header->base_address, 0);
    bp_call3(BP_SYS_MUNMAP, (long)home_end, (long)(BP_IMAGE_USER_END - home_end), 0);
    struct bp_vdso local;
    if (!bp_map_local(header, regions, &local)) local.symbol_count = 0;
    return bp_place_old(header, old, &local);
}
