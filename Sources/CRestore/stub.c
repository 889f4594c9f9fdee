// The stub: the part of the restore code that travels inside every image. It runs in memory of its
// own (the image's home: file prefix and scratch), clears the rest of the address space, builds the
// program's memory from the image file and enters the program with one rt_sigreturn.
//
// It trusts its tables: the daemon has checked them (ImageHeader.swift) before any process is made,
// and whoever runs an image by hand runs it with his own rights.
#include "bp_cpu.h"
#include "bp_image.h"
#include "bproc_local.h"
#include "freestanding.h"
#include "items.h"
#include "report.h"
#include "stub.h"
#include "vdso.h"

_Static_assert(sizeof(struct bproc_local_place) == BP_IMAGE_PLACE_BYTES, "the format's");
_Static_assert(sizeof(((struct bp_stub_arguments *)0)->socket) <=
                   sizeof(((struct bproc_local_place *)0)->socket), "a socket's name has room");

enum { PROT_READ_ = 1, PROT_WRITE_ = 2, MAP_PRIVATE_ = 2, MAP_FIXED_ = 0x10, MAP_ANONYMOUS_ = 0x20,
       MAP_GROWSDOWN_ = 0x100, MAP_NORESERVE_ = 0x4000, MAP_STACK_ = 0x20000 };

extern const char bp_text_proc_fd[] __attribute__((visibility("hidden")));
extern const char bp_leave[] __attribute__((visibility("hidden")));
_Noreturn void bp_leave_call(uint64_t frame, uint64_t low, uint64_t low_count, uint64_t high,
                             uint64_t high_count) __asm__("bp_leave")
    __attribute__((visibility("hidden")));

struct stub {
    const unsigned char *base;
    const struct bp_image_header *header;
    struct bp_stub_arguments *arguments;
};

// Writes a number behind the text, in decimal; returns the new length.
BP_INLINE int bp_append_number(char *text, int length, unsigned number) {
    char digits[10];
    int count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    while (count) text[length++] = digits[--count];
    return length;
}

BP_INLINE _Noreturn void bp_fail(const struct stub *stub, int stage, int step, long error,
                                 uint64_t detail) {
    bp_stub_fail(stub->arguments, stub->header->name, stage, step, error, detail);
}

BP_INLINE const void *bp_table(const struct stub *stub, const struct bp_image_table *table) {
    return stub->base + table->offset;
}

// The image names the CPU features it was made with; this CPU must have them all.
BP_BLOB static void bp_check_cpu(const struct stub *stub) {
    uint32_t words[8];
    bp_feature_words(words);
    for (int i = 0; i < 8; i++) {
        uint32_t missing = stub->header->features[i] & ~words[i];
        if (missing)
            bp_fail(stub, STAGE_HEADER, BP_STEP_CPU, -BP_ENOEXEC,
                    (uint64_t)i << 32 | missing);
    }
}

// A directory that holds one new file, which is left open for writing. Answers the directory's
// descriptor or a negated errno.
BP_BLOB static long bp_open_named(const struct stub *stub, const struct bp_image_file *file,
                                  long *opened) {
    const long directory = 0200000, create = 0301; /* O_DIRECTORY; O_WRONLY, O_CREAT, O_EXCL */
    int root = stub->arguments->directory;
    char number[12];
    number[bp_append_number(number, 0, file->descriptor)] = 0;
    long result = bp_call3(BP_SYS_MKDIRAT, root, (long)number, 0700);
    long inside = result < 0 ? result : bp_call3(BP_SYS_OPENAT, root, (long)number, directory);
    if (inside < 0) return inside;
    *opened = bp_call4(BP_SYS_OPENAT, inside, (long)(stub->base + file->offset + file->byte_count),
                       create, 0700);
    // Whatever the umask.
    if (*opened >= 0) bp_call3(BP_SYS_FCHMOD, *opened, 0700, 0);
    return inside;
}

// Makes a file of the image's bytes: in a directory, for which its descriptor then stands, or
// anonymous.
BP_BLOB static void bp_make_file(const struct stub *stub, const struct bp_image_file *file) {
    int wanted = (int)file->descriptor;
    int has_name = stub->arguments->directory >= 0 && file->name_byte_count > 0;
    long memory = -1;
    long shown = has_name ? bp_open_named(stub, file, &memory)
                          : bp_call3(BP_SYS_MEMFD_CREATE, (long)stub->header->name, 0, 0);
    if (!has_name) memory = shown;
    if (shown < 0 || memory < 0)
        bp_fail(stub, STAGE_IO, BP_STEP_EMBEDDED_FILE, shown < 0 ? shown : memory,
                (uint64_t)wanted);
    uint64_t written = 0;
    while (written < file->byte_count) {
        long count = bp_call3(BP_SYS_WRITE, memory, (long)(stub->base + file->offset + written),
                              (long)(file->byte_count - written));
        if (count == -BP_EINTR) continue;
        if (count <= 0)
            bp_fail(stub, STAGE_IO, BP_STEP_EMBEDDED_FILE, count ? count : -BP_EIO,
                    (uint64_t)wanted);
        written += (uint64_t)count;
    }
    if (has_name)
        bp_call3(BP_SYS_CLOSE, memory, 0, 0);
    else
        bp_call3(BP_SYS_LSEEK, memory, 0, 0);
    if (shown == wanted) return;
    long placed = bp_call3(BP_SYS_DUP3, shown, wanted, 0);
    if (placed < 0)
        bp_fail(stub, STAGE_IO, BP_STEP_EMBEDDED_FILE, placed, (uint64_t)wanted);
    bp_call3(BP_SYS_CLOSE, shown, 0, 0);
}

// Gives a script's interpreter the script: under the descriptor number that is in its argument list
// as /proc/self/fd/N/NAME, or as /proc/self/fd/N where there is no directory (bp_fill_slots).
// Without /proc that name leads nowhere, so this says it first.
BP_BLOB static void bp_open_embedded_files(const struct stub *stub) {
    const struct bp_image_file *files = bp_table(stub, &stub->header->files);
    struct bp_stub_arguments *arguments = stub->arguments;
    for (uint32_t i = 0; i < stub->header->files.count; i++) {
        int wanted = (int)files[i].descriptor;
        // Whatever of ours has that number moves out of the way.
        int *ours[3] = {&arguments->image, &arguments->status, &arguments->directory};
        for (int k = 0; k < 3; k++) {
            if (*ours[k] != wanted) continue;
            long moved = bp_call3(BP_SYS_FCNTL, wanted, 0 /* F_DUPFD */, wanted + 1);
            if (moved < 0)
                bp_fail(stub, STAGE_IO, BP_STEP_MOVE_DESCRIPTOR, moved, (uint64_t)wanted);
            *ours[k] = (int)moved;
        }
        bp_make_file(stub, &files[i]);
        char path[32];
        int length = 0;
        for (; bp_text_proc_fd[length]; length++) path[length] = bp_text_proc_fd[length];
        path[bp_append_number(path, length, files[i].descriptor)] = 0;
        long reachable = bp_call3(BP_SYS_ACCESS, (long)path, 4 /* R_OK */, 0);
        if (reachable < 0)
            bp_fail(stub, STAGE_IO, BP_STEP_SCRIPT_NEEDS_PROC, reachable, (uint64_t)wanted);
    }
    if (arguments->directory < 0) return;
    arguments->known |= BP_STUB_FILES_HAVE_NAMES;
    // What lies in it lives on with the directories' descriptors.
    bp_call3(BP_SYS_CLOSE, arguments->directory, 0, 0);
    arguments->directory = -1;
}

// Only the home stays: the stack that exec made, the restorer and the vDSO go. "Everything else"
// and not "what is in the way", because ARCH_MAP_VDSO_64 refuses while any part of a vDSO is left.
BP_BLOB static void bp_unmap_all_else(const struct stub *stub) {
    const struct bp_image_header *header = stub->header;
    uint64_t end = header->base_address + header->prefix_byte_count + header->scratch_byte_count;
    long low = bp_call3(BP_SYS_MUNMAP, 0, (long)header->base_address, 0);
    long high = bp_call3(BP_SYS_MUNMAP, (long)end, (long)(BP_IMAGE_USER_END - end), 0);
    if (low < 0 || high < 0)
        bp_fail(stub, STAGE_RESTORE, BP_STEP_UNMAP, low < 0 ? low : high, end);
}

BP_INLINE void bp_map_zeros(const struct stub *stub, const struct bp_image_region *region,
                            uint64_t address, uint64_t end) {
    if (address >= end) return;
    long flags = MAP_PRIVATE_ | MAP_ANONYMOUS_ | MAP_FIXED_;
    if (region->flags & BP_IMAGE_REGION_NORESERVE) flags |= MAP_NORESERVE_;
    if (region->kind == BP_IMAGE_REGION_STACK) flags |= MAP_GROWSDOWN_ | MAP_STACK_;
    long at = bp_call6(BP_SYS_MMAP, (long)address, (long)(end - address), region->protection, flags,
                       -1, 0);
    if (at < 0) bp_fail(stub, STAGE_RESTORE, BP_STEP_MAP_REGION, at, address);
}

// Memory: data runs straight from the file, copy-on-write; the rest of a region is zero memory.
BP_BLOB static void bp_map_regions(const struct stub *stub) {
    const struct bp_image_header *header = stub->header;
    const struct bp_image_region *regions = bp_table(stub, &header->regions);
    const struct bp_image_run *runs = bp_table(stub, &header->runs);
    for (uint32_t i = 0; i < header->regions.count; i++) {
        const struct bp_image_region *region = &regions[i];
        uint64_t cursor = region->address;
        for (uint32_t k = 0; k < region->run_count; k++) {
            const struct bp_image_run *run = &runs[region->first_run + k];
            bp_map_zeros(stub, region, cursor, run->address);
            long flags = MAP_PRIVATE_ | MAP_FIXED_;
            if (region->flags & BP_IMAGE_REGION_NORESERVE) flags |= MAP_NORESERVE_;
            long at = bp_call6(BP_SYS_MMAP, (long)run->address, (long)run->byte_count,
                               region->protection, flags, stub->arguments->image,
                               (long)run->file_offset);
            if (at < 0)
                bp_fail(stub, STAGE_RESTORE, BP_STEP_MAP_RUN, at, run->address);
            cursor = run->address + run->byte_count;
        }
        bp_map_zeros(stub, region, cursor, region->address + region->byte_count);
    }
}

// The last page of the home that is left when the program runs: it holds the last instructions.
BP_INLINE uint64_t bp_remains(void) { return (uint64_t)bp_leave & ~(uint64_t)(BP_IMAGE_PAGE - 1); }

// Tells the library in a process that called it where it has come to.
BP_BLOB static void bp_fill_place(const struct bp_stub_arguments *arguments,
                                  struct bproc_local_place *place) {
    bp_zero(place, sizeof *place);
    place->magic = BPROC_LOCAL_PLACE_MAGIC;
    place->remains_address = bp_remains();
    bp_copy(place->socket, arguments->socket, sizeof arguments->socket);
    if (!arguments->has_node) return;
    place->flags = BPROC_LOCAL_PLACE_ON_NODE;
    place->rank = arguments->rank;
    place->process = (int32_t)arguments->number;
    place->node = arguments->node;
}

// What every rank has for itself: strings in the initial stack, the library's place.
BP_BLOB static void bp_fill_slots(const struct stub *stub) {
    const struct bp_stub_arguments *arguments = stub->arguments;
    const struct bp_image_slot *slots = bp_table(stub, &stub->header->slots);
    for (uint32_t i = 0; i < stub->header->slots.count; i++) {
        unsigned char *at = (unsigned char *)slots[i].address;
        uint32_t byte_count = slots[i].byte_count;
        if (slots[i].kind == BP_IMAGE_SLOT_RANK && arguments->set_rank) {
            uint32_t rest = arguments->rank;
            for (uint32_t k = byte_count; k > 0; k--) {
                at[k - 1] = (unsigned char)('0' + rest % 10);
                rest /= 10;
            }
        } else if (slots[i].kind == BP_IMAGE_SLOT_SOCKET) {
            bp_zero(at, byte_count);
            for (uint32_t k = 0; k < byte_count && arguments->socket[k]; k++)
                at[k] = (unsigned char)arguments->socket[k];
        } else if (slots[i].kind == BP_IMAGE_SLOT_RANDOM) {
            // Best effort: the bytes from the front end are there already.
            bp_call3(BP_SYS_GETRANDOM, (long)at, byte_count, 1 /* GRND_NONBLOCK */);
        } else if (slots[i].kind == BP_IMAGE_SLOT_NAME) {
            if (!(arguments->known & BP_STUB_FILES_HAVE_NAMES)) bp_zero(at, byte_count);
        } else if (slots[i].kind == BP_IMAGE_SLOT_PLACE) {
            bp_fill_place(arguments, (struct bproc_local_place *)at);
        }
    }
}

// brk, the places of arguments and environment, auxv: what ps and sbrk go by. exe_fd -1 leaves
// /proc/self/exe alone and needs no privilege.
BP_BLOB static void bp_set_memory_map(const struct stub *stub) {
    const struct bp_image_header *header = stub->header;
    uint64_t map[13];
    bp_copy(map, &header->start_code, 11 * sizeof map[0]);
    map[11] = (uint64_t)bp_table(stub, &header->auxv);
    map[12] = (uint64_t)0xffffffffu << 32 | header->auxv.count * header->auxv.element_byte_count;
    long result = bp_call5(BP_SYS_PRCTL, 35, 14 /* PR_SET_MM_MAP */, (long)map, sizeof map, 0);
    if (result == -BP_EINVAL) {
        // A kernel with a shorter table of its own: its auxv stays, the rest still counts.
        map[11] = 0;
        map[12] = (uint64_t)0xffffffffu << 32;
        result = bp_call5(BP_SYS_PRCTL, 35, 14, (long)map, sizeof map, 0);
    }
    if (result < 0)
        bp_fail(stub, STAGE_RESTORE, BP_STEP_MEMORY_MAP, result, header->brk);
}

// What the kernel knows of the thread and is not in the signal frame.
BP_BLOB static void bp_set_thread_state(const struct stub *stub) {
    const struct bp_image_header *header = stub->header;
    bp_call5(BP_SYS_PRCTL, 15 /* PR_SET_NAME */, (long)header->name, 0, 0, 0);
    bp_call3(BP_SYS_ARCH_PRCTL, 0x1001 /* ARCH_SET_GS */, (long)header->gs_base, 0);
    long result = bp_call3(BP_SYS_ARCH_PRCTL, 0x1002 /* ARCH_SET_FS */, (long)header->fs_base, 0);
    if (result < 0)
        bp_fail(stub, STAGE_RESTORE, BP_STEP_THREAD_STATE, result, header->fs_base);
    if (header->thread_id_address) {
        // glibc keeps the thread id there; others keep a lock there, which is not the old id.
        uint32_t *cached = (uint32_t *)header->thread_id_address;
        long id = bp_call3(BP_SYS_SET_TID_ADDRESS, (long)cached, 0, 0);
        if (*cached == header->thread_id) *cached = (uint32_t)id;
    }
    if (header->robust_list_address)
        bp_call3(BP_SYS_SET_ROBUST_LIST, (long)header->robust_list_address,
                 (long)header->robust_list_byte_count, 0);
    if (header->rseq_address) {
        // Unregistered as far as this process is concerned: no CPU, no critical section.
        uint32_t *area = (uint32_t *)header->rseq_address;
        area[0] = 0;
        area[1] = (uint32_t)-1;
        area[2] = 0;
        area[3] = 0;
        result = bp_call4(BP_SYS_RSEQ, (long)area, header->rseq_byte_count, 0,
                          header->rseq_signature);
        if (result < 0) area[1] = (uint32_t)-2; /* as the C library says "not registered" */
    }
}

// The image's actions, and the default for every other signal: exec keeps what its caller ignored,
// unless that is known to be nothing.
BP_BLOB static void bp_set_signals(const struct stub *stub) {
    const struct bp_image_signal *actions = bp_table(stub, &stub->header->signals);
    uint64_t action[4] = {0, 0, 0, 0}; /* SIG_DFL */
    const int last = stub->arguments->known & BP_STUB_SIGNALS_ARE_DEFAULT ? 0 : 64;
    for (int number = 1; number <= last; number++) {
        if (number == 9 || number == 19) continue; /* SIGKILL and SIGSTOP have no choice */
        bp_call4(BP_SYS_RT_SIGACTION, number, (long)action, 0, 8);
    }
    for (uint32_t i = 0; i < stub->header->signals.count; i++) {
        action[0] = actions[i].handler;
        action[1] = actions[i].flags;
        action[2] = actions[i].restorer;
        action[3] = actions[i].mask;
        long result =
            bp_call4(BP_SYS_RT_SIGACTION, actions[i].number, (long)action, 0, 8);
        if (result < 0)
            bp_fail(stub, STAGE_RESTORE, BP_STEP_SIGNALS, result,
                    actions[i].number);
    }
}

// From here on the process counts as the program and no longer as the daemon's work, in the
// scheduler's eyes: so it comes last, after the word that the program is placed. A process whose
// weight falls in the middle of its work is made to pay for it with hundreds of milliseconds. None
// of this can fail: a nice value below the daemon's own was set before the credentials.
BP_BLOB static void bp_become_program(const struct bp_stub_arguments *arguments) {
    if (arguments->set_nice) {
        uint64_t attributes[6]; /* size and policy, flags, nice and priority, runtime, -, - */
        bp_zero(attributes, sizeof attributes);
        attributes[0] = sizeof attributes; /* SCHED_OTHER, whatever the restore had */
        attributes[2] = (uint32_t)arguments->nice;
        bp_call3(BP_SYS_SCHED_SETATTR, 0, (long)attributes, 0);
    }
    // Where the kernel shares the processor out by sessions.
    if (arguments->leads_session) bp_call3(BP_SYS_SETSID, 0, 0, 0);
}

// Placed, it waits until all ranks of its launch are, and then gets what was to come last. The end
// of the daemon is the end of the wait, and of the process.
BP_BLOB static void bp_wait_for_others(const struct stub *stub) {
    struct bp_stub_arguments *arguments = stub->arguments;
    char word;
    long count;
    do count = bp_call3(BP_SYS_READ, arguments->status, (long)&word, 1);
    while (count == -BP_EINTR);
    if (count != 1) bp_call3(BP_SYS_EXIT_GROUP, 100, 0, 0);
    for (uint32_t at = 0; at < arguments->item_byte_count;) {
        struct bp_item_failure failure;
        if (bp_set_up_item(arguments, arguments->items + at, &failure) < 0) {
            // It counts as started, so it ends as a program that could not be executed does.
            bp_report(arguments, STAGE_IO, failure.step, failure.error, failure.detail);
            long status = -failure.error;
            bp_call3(BP_SYS_EXIT_GROUP, status > 255 ? 255 : status, 0, 0);
        }
        while (arguments->items[at++]) {}
    }
}

_Noreturn BP_BLOB void bp_stub_main(const unsigned char *base,
                                    struct bp_stub_arguments *arguments) {
    const struct bp_image_header *header = (const void *)(base + BP_IMAGE_HEADER_OFFSET);
    struct stub stub = {base, header, arguments};
    if (arguments->byte_count < sizeof *arguments)
        bp_fail(&stub, STAGE_RESTORE, BP_STEP_ARGUMENTS, -BP_EINVAL,
                arguments->byte_count);
    if (!(arguments->known & BP_STUB_CPU_SUITS)) bp_check_cpu(&stub);
    bp_open_embedded_files(&stub);
    bp_unmap_all_else(&stub);
    uint64_t vdso_failure = 0;
    long vdso = bp_place_vdso(header, bp_table(&stub, &header->regions),
                              bp_table(&stub, &header->vdso), &vdso_failure);
    if (vdso < 0)
        bp_fail(&stub, STAGE_RESTORE, BP_STEP_VDSO, vdso, vdso_failure);
    bp_map_regions(&stub);
    bp_copy((void *)header->stack_address, base + header->stack.offset, header->stack.count);
    bp_copy((void *)header->frame_address, base + header->frame.offset, header->frame.count);
    bp_fill_slots(&stub);
    bp_call3(BP_SYS_CLOSE, arguments->image, 0, 0);
    bp_set_memory_map(&stub);
    bp_set_thread_state(&stub);
    bp_set_signals(&stub);
    arguments->image = -1;
    if (arguments->status >= 0) {
        struct bp_restore_record record = {.magic = BP_RECORD_MAGIC, .rank = arguments->rank};
        record.monotonic_nanoseconds = bp_monotonic_nanoseconds();
        record.detail = arguments->number;
        long told = bp_call3(BP_SYS_WRITE, arguments->status, (long)&record, sizeof record);
        // Who started this is gone, perhaps before it could be asked for a signal at its end.
        if (told != sizeof record) bp_call3(BP_SYS_EXIT_GROUP, 100, 0, 0);
        if (arguments->is_held) bp_wait_for_others(&stub);
    }
    bp_become_program(arguments);
    // The daemon lifts the priority when the channel has ended, so this comes after.
    if (arguments->status >= 0) bp_call3(BP_SYS_CLOSE, arguments->status, 0, 0);
    // All of the home goes but the one page that holds the last instructions.
    uint64_t page = bp_remains();
    uint64_t end = header->base_address + header->prefix_byte_count + header->scratch_byte_count;
    bp_leave_call(header->frame_address, header->base_address, page - header->base_address,
                  page + BP_IMAGE_PAGE, end - page - BP_IMAGE_PAGE);
}
