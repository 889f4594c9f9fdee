// What the header of the caller's image says of it: the kernel's side of its one thread, and where
// things lie.
#define _GNU_SOURCE
#include "ownimage.h"

#include "bp_cpu.h"

#include <asm/prctl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc 2.35 and later; absent in other C libraries.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

enum {
    RED_ZONE = 128,              // what a function may use below its stack pointer
    RSEQ_BYTES = 32,             // what glibc registers at least
    RSEQ_SIGNATURE = 0x53053053, // and with what signature, on x86
    GET_TID_ADDRESS = 40,        // PR_GET_TID_ADDRESS, which older headers lack
    STAT_FIELDS = 52,
};

// Fields of /proc/self/stat as proc(5) counts them.
static int read_stat(struct own_memory *memory, uint64_t fields[STAT_FIELDS + 1]) {
    char *text = memory->text;
    ssize_t length = bplib_read_own(memory, "stat", text, sizeof memory->text - 1);
    if (length < 0) return -1;
    text[length] = 0;
    memset(fields, 0, (STAT_FIELDS + 1) * sizeof *fields);
    // The name may contain anything, a closing parenthesis too: the last one ends it.
    const char *at = strrchr(text, ')');
    for (int field = 3; at && field <= STAT_FIELDS; field++) {
        at = strchr(at, ' ');
        if (!at) break;
        fields[field] = strtoull(++at, NULL, 10);
    }
    return 0;
}

static int fill_addresses(struct bp_image_header *header, struct own_memory *memory) {
    uint64_t fields[STAT_FIELDS + 1];
    if (read_stat(memory, fields) < 0) return -1;
    header->start_code = fields[26];
    header->end_code = fields[27];
    header->start_stack = fields[28];
    header->start_data = fields[45];
    header->end_data = fields[46];
    header->start_brk = fields[47];
    header->brk = (uint64_t)syscall(SYS_brk, 0);
    header->argument_start = fields[48];
    header->argument_end = fields[49];
    header->environment_start = fields[50];
    header->environment_end = fields[51];
    for (uint32_t i = 0; i < memory->line_count; i++) {
        const struct own_line *line = &memory->lines[i];
        if (line->is_vvar && !header->vvar_address) header->vvar_address = line->start;
        if (!line->is_vdso) continue;
        if (!header->vvar_address) header->vvar_address = line->start;
        header->vdso_address = line->start;
        header->vdso_byte_count = line->end - line->start;
        header->vvar_byte_count = line->start - header->vvar_address;
    }
    if (!header->vdso_address) header->vvar_address = 0;
    return 0;
}

// As the C library has registered it; 0: it has not.
static uint32_t rseq_bytes(void) {
    if (!&__rseq_size || !&__rseq_offset || __rseq_size == 0) return 0;
    unsigned int least = __rseq_size > RSEQ_BYTES ? __rseq_size : RSEQ_BYTES;
    return (least + RSEQ_BYTES - 1) / RSEQ_BYTES * RSEQ_BYTES;
}

static void fill_thread(struct bp_image_header *header) {
    (void)syscall(SYS_arch_prctl, ARCH_GET_FS, &header->fs_base);
    (void)syscall(SYS_arch_prctl, ARCH_GET_GS, &header->gs_base);
    (void)prctl(GET_TID_ADDRESS, &header->thread_id_address, 0, 0, 0);
    header->thread_id = (uint32_t)getpid();
    (void)syscall(SYS_get_robust_list, 0, &header->robust_list_address,
                  &header->robust_list_byte_count);
    if (rseq_bytes() == 0) return;
    header->rseq_address = header->fs_base + (uint64_t)__rseq_offset;
    header->rseq_byte_count = rseq_bytes();
    header->rseq_signature = RSEQ_SIGNATURE;
}

void bplib_leave_rseq(void) {
    enum { UNREGISTER = 1 };
    uint64_t base = 0;
    if (rseq_bytes() == 0) return;
    (void)syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
    (void)syscall(SYS_rseq, base + (uint64_t)__rseq_offset, rseq_bytes(), UNREGISTER,
                  RSEQ_SIGNATURE);
}

// Only features that a C library or a compiler's dispatch chooses code by.
static void fill_features(struct bp_image_header *header) {
    uint32_t known[BP_IMAGE_FEATURE_WORDS] = {0};
#define KNOWN(word, bit, name) known[word] |= 1u << (bit);
    BP_FEATURES(KNOWN)
#undef KNOWN
    header->xsave_components = bplib_features(header->features);
    for (int word = 0; word < BP_IMAGE_FEATURE_WORDS; word++) header->features[word] &= known[word];
}

// Content begins at the stack pointer; for a caller that runs on another stack (a coroutine, a
// signal handler) at the lowest page that was ever used. The frame goes below.
static int fill_stack(struct bp_image_header *header, struct own_memory *memory,
                      const struct bplib_thread *thread) {
    const struct own_line *stack = bplib_own_stack(memory);
    if (!stack) return bplib_fail(EFAULT, "find the stack: %s", bproc_strerror(EFAULT));
    uint64_t pointer = thread->registers.rsp;
    if (pointer >= stack->start && pointer < stack->end) {
        header->stack_address = (pointer - RED_ZONE) & ~(uint64_t)63;
    } else {
        pointer = bplib_lowest_used(memory, stack);
        header->stack_address = pointer;
    }
    header->frame_address = (pointer - RED_ZONE - BP_IMAGE_FRAME) & ~(uint64_t)63;
    if (header->stack_address >= stack->start && header->frame_address >= stack->start) return 0;
    return bplib_fail(ENOMEM, "find room below the stack: %s", bproc_strerror(ENOMEM));
}

int bplib_fill_header(struct bp_image_header *header, struct own_memory *memory,
                      const struct bplib_thread *thread) {
    header->magic = BP_IMAGE_MAGIC;
    header->version = BP_IMAGE_VERSION;
    header->architecture = BP_IMAGE_ARCHITECTURE_X86_64;
    header->checksum_block_byte_count = BP_IMAGE_CHECKSUM_BLOCK;
    header->flags = BP_IMAGE_STARTED;
    header->scratch_byte_count = BP_IMAGE_SCRATCH;
    header->register_origin = BP_IMAGE_ORIGIN_WAITING;
    (void)prctl(PR_GET_NAME, header->name, 0, 0, 0);
    if (fill_stack(header, memory, thread) < 0) return -1;
    if (fill_addresses(header, memory) < 0) return -1;
    fill_thread(header);
    fill_features(header);
    return 0;
}
