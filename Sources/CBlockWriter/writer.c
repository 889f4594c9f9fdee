// The code itself. It has no data, no constants in memory and no stack of its own but the kernel's.
#include "include/CBlockWriter.h"

#define BP_CODE                                                                                    \
    __attribute__((section("bp_block"), used, retain, noinline, visibility("hidden"),              \
                   disable_sanitizer_instrumentation, no_profile_instrument_function))

enum { SYS_OPEN = 2, SYS_CLOSE = 3, SYS_PWRITE64 = 18, SYS_EXIT_GROUP = 231 };
enum { ERR_NOENT = 2, ERR_INTR = 4, ERR_IO = 5, ERR_NOTDIR = 20 };
enum { OPEN_WRITE_NO_LINK_CLOSE_ON_EXEC = 01 | 0400000 | 02000000 };

static inline __attribute__((always_inline)) long call(long number, long a, long b, long c,
                                                       long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static inline __attribute__((always_inline)) long open_file(const unsigned char *block,
                                                            const struct bp_block_extent *extent) {
    const long flags = OPEN_WRITE_NO_LINK_CLOSE_ON_EXEC;
    long file = call(SYS_OPEN, (long)(block + extent->path_place), flags, 0, 0);
    if (extent->other_path_place && (file == -ERR_NOENT || file == -ERR_NOTDIR)) {
        file = call(SYS_OPEN, (long)(block + extent->other_path_place), flags, 0, 0);
    }
    return file;
}

static inline __attribute__((always_inline)) long write_all(long file, const unsigned char *block,
                                                            const struct bp_block_extent *extent) {
    uint64_t done = 0;
    while (done < extent->byte_count) {
        long count = call(SYS_PWRITE64, file, (long)(block + extent->place + done),
                          (long)(extent->byte_count - done), (long)(extent->file_offset + done));
        if (count == -ERR_INTR) continue;
        if (count < 0) return count;
        if (count == 0) return -ERR_IO;
        done += (uint64_t)count;
    }
    return 0;
}

_Noreturn void bp_block_main(void) __attribute__((visibility("hidden")));

BP_CODE _Noreturn void bp_block_main(void) {
    const unsigned char *block = (const unsigned char *)BP_BLOCK_DATA_ADDRESS;
    uint64_t count = ((const struct bp_block *)block)->extent_count;
    const struct bp_block_extent *extents =
        (const struct bp_block_extent *)(block + sizeof(struct bp_block));
    long first_error = 0;
    for (uint64_t i = 0; i < count; i++) {
        long file = open_file(block, &extents[i]);
        long result = file < 0 ? file : write_all(file, block, &extents[i]);
        if (file >= 0) {
            long closed = call(SYS_CLOSE, file, 0, 0, 0);
            if (result == 0 && closed != -ERR_INTR) result = closed;
        }
        if (result < 0 && first_error == 0) first_error = result;
    }
    for (;;) call(SYS_EXIT_GROUP, -first_error & 0xff, 0, 0, 0);
}

__asm__(".pushsection bp_block, \"axR\", @progbits\n"
        ".balign 64\n"
        ".globl bp_block_entry\n"
        ".hidden bp_block_entry\n"
        ".type bp_block_entry, @function\n"
        "bp_block_entry:\n"
        "xorl %ebp, %ebp\n"
        "andq $-16, %rsp\n"
        "call bp_block_main\n"
        "hlt\n"
        ".size bp_block_entry, . - bp_block_entry\n"
        ".popsection\n");

extern const unsigned char __start_bp_block[] __attribute__((visibility("hidden")));
extern const unsigned char __stop_bp_block[] __attribute__((visibility("hidden")));
extern const unsigned char bp_block_entry[] __attribute__((visibility("hidden")));

struct bp_block_code bp_block_code(void) {
    struct bp_block_code code;
    code.bytes = __start_bp_block;
    code.byte_count = (size_t)(__stop_bp_block - __start_bp_block);
    code.entry = (size_t)(bp_block_entry - __start_bp_block);
    return code;
}
