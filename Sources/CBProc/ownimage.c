// Writes the image of the caller, from inside: Sources/ProcessImage/FORMAT.md is what it follows.
//
// The prefix is put together in memory that is mapped for the purpose, and written last: it has the
// checksums of the data. The data goes from the caller's memory straight into the file.
#define _GNU_SOURCE
#include "ownimage.h"

#include "CRestore.h"
#include "bp_cpu.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PAGE = BP_IMAGE_PAGE,
    BLOCK = BP_IMAGE_CHECKSUM_BLOCK,
    RUNS_OF_PIECE = 4, // stretches of zeros are 16 pages long, a piece has 64
    CUTS = 4,          // where memory begins or ends that changes by itself
    STATIC_BELOW = 64 << 10, // the thread pointer is its static memory, and little above
    STATIC_ABOVE = 16 << 10,
    USER_CS = 0x33,
    USER_DS = 0x2b,
};

struct writer {
    struct own_memory *memory;
    const struct bplib_thread *thread;
    int file;
    uint64_t offset;       // of the image in the file
    unsigned char *prefix; // prefix_bytes long
    uint64_t prefix_bytes, code_bytes;
    struct bp_image_header *header; // inside the prefix, as are the tables
    struct bp_image_region *regions;
    struct bp_image_run *runs;
    uint64_t *checksums;
    uint32_t region_count, run_count, checksum_count;
    uint64_t tables; // where the next table goes
    uint64_t cursor; // where the next data goes
    uint64_t written; // the end of what was written too much
    size_t block_bytes; // of the block that is not complete
};

static uint64_t checksum(const unsigned char *bytes, size_t byte_count) {
    return bplib_checksum(bytes, bytes, byte_count);
}

// ---- Data ----

static int write_at(const struct writer *writer, const void *bytes, size_t byte_count,
                    uint64_t at) {
    const unsigned char *next = bytes;
    while (byte_count > 0) {
        ssize_t count = pwrite(writer->file, next, byte_count, (off_t)(writer->offset + at));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            int error = count < 0 ? errno : EIO;
            return bplib_fail(error, "the image cannot be written: %s", bproc_strerror(error));
        }
        next += count;
        at += (uint64_t)count;
        byte_count -= (size_t)count;
    }
    return 0;
}

// Checksums are of stretches of the file, which need not begin where a piece of memory does.
static void add_to_checksums(struct writer *writer, const unsigned char *bytes,
                             size_t byte_count) {
    while (byte_count > 0) {
        size_t part = BLOCK - writer->block_bytes;
        if (part > byte_count) part = byte_count;
        if (part == BLOCK) {
            writer->checksums[writer->checksum_count++] = checksum(bytes, BLOCK);
        } else {
            memcpy(writer->memory->block + writer->block_bytes, bytes, part);
            writer->block_bytes += part;
        }
        if (writer->block_bytes == BLOCK) {
            writer->checksums[writer->checksum_count++] = checksum(writer->memory->block, BLOCK);
            writer->block_bytes = 0;
        }
        bytes += part;
        byte_count -= part;
    }
}

// Notes what has been written at the cursor. A run goes on where the last one ended.
static int note(struct writer *writer, uint64_t address, const unsigned char *bytes,
                size_t byte_count) {
    struct bp_image_region *region = &writer->regions[writer->region_count - 1];
    struct bp_image_run *last = writer->runs + writer->run_count - 1;
    if (region->run_count > 0 && last->address + last->byte_count == address) {
        last->byte_count += byte_count;
    } else if (writer->run_count == BP_IMAGE_RUNS_MAX) {
        return bplib_fail(E2BIG, "more than %u stretches of memory", BP_IMAGE_RUNS_MAX);
    } else {
        region->run_count++;
        writer->runs[writer->run_count++] = (struct bp_image_run){
            .address = address, .byte_count = byte_count, .file_offset = writer->cursor};
    }
    // After the write, which has brought them into the cache.
    add_to_checksums(writer, bytes, byte_count);
    writer->cursor += byte_count;
    return 0;
}

static int store(struct writer *writer, uint64_t address, const unsigned char *bytes,
                 size_t byte_count) {
    if (write_at(writer, bytes, byte_count, writer->cursor) < 0) return -1;
    return note(writer, address, bytes, byte_count);
}

static bool is_zero(const unsigned char *page) {
    const uint64_t *words = (const uint64_t *)page;
    for (size_t i = 0; i < PAGE / sizeof *words; i += 4) {
        if (words[i] | words[i + 1] | words[i + 2] | words[i + 3]) return false;
    }
    return true;
}

// Where the next stretch of zeros begins that is worth a mapping, and where it ends; both are
// byte_count if there is none.
static size_t find_zeros(const unsigned char *bytes, size_t at, size_t byte_count, size_t *end) {
    for (size_t start = at; at < byte_count; at = *end, start = at) {
        while (start < byte_count && !is_zero(bytes + start)) start += PAGE;
        for (*end = start; *end < byte_count && is_zero(bytes + *end);) *end += PAGE;
        if (*end - start >= OWN_GAP_BYTES || *end - start == byte_count) return start;
    }
    return *end = byte_count;
}

// Stores a piece without its stretches of zeros.
static int store_piece(struct writer *writer, uint64_t address, const unsigned char *bytes,
                       size_t byte_count) {
    for (size_t at = 0, end; at < byte_count; at = end) {
        size_t zeros = find_zeros(bytes, at, byte_count, &end);
        if (zeros > at && store(writer, address + at, bytes + at, zeros - at) < 0) return -1;
    }
    return 0;
}

// A piece of a mapping that may end before its pages do, or be protected. What write(2) has read
// can be looked at; the rest is copied by other means.
static int store_guarded(struct writer *writer, uint64_t address, size_t byte_count) {
    const unsigned char *bytes = (const unsigned char *)address;
    ssize_t count =
        pwrite(writer->file, bytes, byte_count, (off_t)(writer->offset + writer->cursor));
    if (count != (ssize_t)byte_count) {
        return store_piece(writer, address, bplib_copy_guarded(writer->memory, address, byte_count),
                           byte_count);
    }
    uint64_t end_of_piece = writer->cursor + byte_count;
    if (writer->written < end_of_piece) writer->written = end_of_piece;
    size_t end;
    if (find_zeros(bytes, 0, byte_count, &end) < byte_count) {
        return store_piece(writer, address, bytes, byte_count);
    }
    return note(writer, address, bytes, byte_count);
}

// Large and mostly untouched: a reservation, which must not count against the memory of the node.
// The maps file does not show MAP_NORESERVE.
static bool is_sparse(const struct own_memory *memory, const struct own_line *line) {
    uint64_t byte_count = 0;
    for (uint32_t i = 0; i < line->range_count; i++) {
        const struct own_range *range = &memory->ranges[line->first_range + i];
        byte_count += range->end - range->start;
    }
    uint64_t whole = line->end - line->start;
    return whole > 64 << 20 && byte_count < whole / 2;
}

// Where the next piece ends: with the range, after the most that a piece may have, or where the
// memory begins or ends that changes by itself.
static uint64_t end_of_piece(uint64_t at, uint64_t end, const struct own_range changing[2]) {
    if (end - at > OWN_PIECE_BYTES) end = at + OWN_PIECE_BYTES;
    for (int i = 0; i < 2; i++) {
        if (changing[i].start > at && changing[i].start < end) end = changing[i].start;
        if (changing[i].end > at && changing[i].end < end) end = changing[i].end;
    }
    return end;
}

static bool is_changing(uint64_t at, const struct own_range changing[2]) {
    return (at >= changing[0].start && at < changing[0].end) ||
           (at >= changing[1].start && at < changing[1].end);
}

// The kernel writes by itself to the area of restartable sequences, which lies in the thread's
// static memory, whoever has registered it. Such pages are copied first, so that the file and its
// checksum are of the same moment.
static void find_changing(const struct writer *writer, struct own_range changing[2]) {
    const struct bp_image_header *header = writer->header;
    const uint64_t within = ~(uint64_t)(PAGE - 1);
    changing[0] = (struct own_range){(header->fs_base - STATIC_BELOW) & within,
                                     (header->fs_base + STATIC_ABOVE + PAGE - 1) & within};
    changing[1] = (struct own_range){
        header->rseq_address & within,
        (header->rseq_address + header->rseq_byte_count + PAGE - 1) & within};
}

static int store_line(struct writer *writer, const struct own_line *line) {
    bool is_guarded = line->is_file || !bplib_can_read(line);
    writer->regions[writer->region_count++] = (struct bp_image_region){
        .address = line->start,
        .byte_count = line->end - line->start,
        .protection = line->protection,
        .kind = line->is_stack ? BP_IMAGE_REGION_STACK : BP_IMAGE_REGION_MEMORY,
        .flags = (is_sparse(writer->memory, line) ? BP_IMAGE_REGION_NORESERVE : 0) |
                 (line->is_shared ? BP_IMAGE_REGION_WAS_SHARED : 0),
        .bytes = BP_IMAGE_BYTES_INLINE,
        .first_run = writer->run_count,
    };
    struct own_range changing[2];
    find_changing(writer, changing);
    for (uint32_t i = 0; i < line->range_count; i++) {
        const struct own_range *range = &writer->memory->ranges[line->first_range + i];
        for (uint64_t at = range->start; at < range->end;) {
            size_t byte_count = (size_t)(end_of_piece(at, range->end, changing) - at);
            const unsigned char *bytes = (const unsigned char *)at;
            bool is_copied = is_changing(at, changing);
            if (is_copied) bytes = bplib_copy_guarded(writer->memory, at, byte_count);
            int result = is_guarded && !is_copied ? store_guarded(writer, at, byte_count)
                                                  : store_piece(writer, at, bytes, byte_count);
            if (result < 0) return -1;
            at += byte_count;
        }
    }
    return 0;
}

static int store_memory(struct writer *writer) {
    for (uint32_t i = 0; i < writer->memory->line_count; i++) {
        const struct own_line *line = &writer->memory->lines[i];
        if (!line->is_kernels && store_line(writer, line) < 0) return -1;
    }
    if (writer->block_bytes > 0) {
        writer->checksums[writer->checksum_count++] =
            checksum(writer->memory->block, writer->block_bytes);
    }
    return 0;
}

// ---- Tables ----

// Room for a table at the next offset; what it is filled with may be less.
static void *open_table(struct writer *writer, struct bp_image_table *table,
                        size_t element_bytes) {
    writer->tables = (writer->tables + 15) & ~(uint64_t)15;
    table->offset = writer->tables;
    table->element_byte_count = (uint32_t)element_bytes;
    return writer->prefix + writer->tables;
}

static void close_table(struct writer *writer, struct bp_image_table *table, uint32_t count) {
    table->count = count;
    writer->tables = table->offset + (uint64_t)count * table->element_byte_count;
}

static void put_signals(struct writer *writer) {
    struct bp_image_signal *signals =
        open_table(writer, &writer->header->signals, sizeof *signals);
    uint32_t count = 0;
    // As the kernel has them: the C library hides its own restorer, and two signals altogether.
    struct {
        uint64_t handler, flags, restorer, mask;
    } action;
    for (int number = 1; number <= 64; number++) {
        if (syscall(SYS_rt_sigaction, number, NULL, &action, 8) < 0 || !action.handler) continue;
        signals[count++] = (struct bp_image_signal){.handler = action.handler,
                                                    .flags = action.flags,
                                                    .restorer = action.restorer,
                                                    .mask = action.mask,
                                                    .number = (uint32_t)number};
    }
    close_table(writer, &writer->header->signals, count);
}

static void put(unsigned char *bytes, uint64_t value, size_t byte_count) {
    memcpy(bytes, &value, byte_count);
}

// The kernel's signal frame (struct rt_sigframe): as after the return of a function, of which what
// it need not keep is of no account.
static void put_frame(struct writer *writer) {
    const struct bproc_local_registers *registers = &writer->thread->registers;
    unsigned char *frame = open_table(writer, &writer->header->frame, 1);
    stack_t alternate = {.ss_flags = SS_DISABLE};
    (void)sigaltstack(NULL, &alternate);
    put(frame + 8, 1 | 2 | 4, 8); // the float state is there, and ss is meant as written
    put(frame + 24, (uint64_t)alternate.ss_sp, 8);
    put(frame + 32, (uint32_t)alternate.ss_flags & ~1u, 4);
    put(frame + 40, alternate.ss_size, 8);
    const uint64_t words[] = {
        0, 0, 0, 0, registers->r12, registers->r13, registers->r14, registers->r15, // from r8 on
        0, 0, registers->rbp, registers->rbx, 0, 1 /* rax */, 0, registers->rsp, registers->rip,
        0x202 /* flags */};
    memcpy(frame + 48, words, sizeof words);
    put(frame + 192, USER_CS, 2);
    put(frame + 198, USER_DS, 2);
    put(frame + 232, writer->header->frame_address + BP_IMAGE_FRAME_FLOAT_OFFSET, 8);
    put(frame + 304, writer->thread->signal_mask, 8);
    // Empty registers and the caller's control words.
    put(frame + BP_IMAGE_FRAME_FLOAT_OFFSET, registers->x87_control, 2);
    put(frame + BP_IMAGE_FRAME_FLOAT_OFFSET + 24, registers->mxcsr, 4);
    close_table(writer, &writer->header->frame, BP_IMAGE_FRAME);
}

static void put_bytes(struct writer *writer, struct bp_image_table *table, uint64_t address,
                      uint64_t byte_count) {
    memcpy(open_table(writer, table, 1), (const void *)address, byte_count);
    close_table(writer, table, (uint32_t)byte_count);
}

// The tables that are known before the data; those that grow with it have room for the most.
static int put_tables(struct writer *writer, uint32_t runs_most, uint32_t checksums_most) {
    struct bp_image_header *header = writer->header;
    writer->tables = writer->code_bytes;
    void *auxv = open_table(writer, &header->auxv, 16);
    ssize_t count = bplib_read_own(writer->memory, "auxv", auxv, 16 * BP_IMAGE_AUXV_MAX);
    if (count < 0) return -1;
    close_table(writer, &header->auxv, (uint32_t)count / 16);
    put_signals(writer);
    put_frame(writer);
    uint64_t stack_end = bplib_own_stack(writer->memory)->end;
    put_bytes(writer, &header->stack, header->stack_address, stack_end - header->stack_address);
    put_bytes(writer, &header->vdso, header->vdso_address, header->vdso_byte_count);
    (void)open_table(writer, &header->files, sizeof(struct bp_image_file));
    struct bp_image_slot *slot = open_table(writer, &header->slots, sizeof *slot);
    *slot = (struct bp_image_slot){.address = (uint64_t)&bplib_place,
                                   .kind = BP_IMAGE_SLOT_PLACE,
                                   .byte_count = BP_IMAGE_PLACE_BYTES};
    close_table(writer, &header->slots, 1);
    writer->regions = open_table(writer, &header->regions, sizeof *writer->regions);
    close_table(writer, &header->regions, writer->memory->line_count);
    writer->runs = open_table(writer, &header->runs, sizeof *writer->runs);
    close_table(writer, &header->runs, runs_most);
    writer->checksums = open_table(writer, &header->checksums, sizeof *writer->checksums);
    close_table(writer, &header->checksums, checksums_most);
    return 0;
}

// ---- Code ----

static Elf64_Phdr segment(uint64_t base, uint64_t start, uint64_t end, uint64_t more,
                          uint32_t flags) {
    return (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = flags, .p_offset = start,
                        .p_vaddr = base + start, .p_paddr = base + start,
                        .p_filesz = end - start, .p_memsz = end - start + more, .p_align = PAGE};
}

// ELF header, code, and the program headers as the code's last bytes: exec then refuses a file that
// is cut off inside the code, and every other one can say what is wrong with it.
static void put_code(struct writer *writer, const struct bp_restore_code *code) {
    uint64_t base = writer->header->base_address, scratch = base + writer->prefix_bytes;
    unsigned char *place = writer->prefix + PAGE;
    memcpy(place, code->bytes, code->byte_count);
    put(place + code->base_slot, base, 8);
    put(place + code->scratch_slot, scratch, 8);
    put(place + code->stack_slot, scratch + BP_IMAGE_SCRATCH, 8);
    writer->header->stub_entry = (uint32_t)(PAGE + code->stub_entry);
    const Elf64_Phdr segments[] = {
        segment(base, 0, writer->code_bytes, 0, PF_R | PF_X),
        segment(base, writer->code_bytes, writer->prefix_bytes, BP_IMAGE_SCRATCH, PF_R | PF_W),
        // Without it the kernel would make the stack executable.
        {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = PAGE},
    };
    const Elf64_Ehdr elf = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = base + PAGE + code->direct_entry,
        .e_phoff = writer->code_bytes - sizeof segments,
        .e_ehsize = sizeof elf,
        .e_phentsize = sizeof segments[0],
        .e_phnum = sizeof segments / sizeof segments[0],
    };
    memcpy(writer->prefix, &elf, sizeof elf);
    memcpy(writer->prefix + elf.e_phoff, segments, sizeof segments);
}

// ---- The whole ----

static uint64_t whole_pages(uint64_t byte_count) {
    return (byte_count + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

// Lays the prefix out and fills in what is known before the data.
static int begin(struct writer *writer) {
    const struct own_memory *memory = writer->memory;
    struct bp_image_header header = {0};
    if (bplib_fill_header(&header, writer->memory, writer->thread) < 0) return -1;
    struct bp_restore_code code = bp_restore_code();
    writer->code_bytes = PAGE + whole_pages(code.byte_count + 3 * sizeof(Elf64_Phdr));
    uint64_t runs = RUNS_OF_PIECE * (memory->piece_count + CUTS);
    uint64_t checksums = memory->byte_count / BLOCK + 1;
    uint64_t stack_bytes = bplib_own_stack(memory)->end - header.stack_address;
    uint64_t tables = stack_bytes + header.vdso_byte_count + BP_IMAGE_FRAME +
                      16 * BP_IMAGE_AUXV_MAX + 64 * sizeof(struct bp_image_signal) +
                      memory->line_count * sizeof(struct bp_image_region) +
                      runs * sizeof(struct bp_image_run) + checksums * 8 + 1024;
    writer->prefix_bytes = writer->code_bytes + whole_pages(tables);
    if (writer->prefix_bytes > BP_IMAGE_PREFIX_MAX) {
        return bplib_fail(E2BIG,
                          "the stack and the tables have %llu bytes, at most %u can be moved",
                          (unsigned long long)writer->prefix_bytes, BP_IMAGE_PREFIX_MAX);
    }
    header.base_address = bplib_own_hole(memory, writer->prefix_bytes + BP_IMAGE_SCRATCH);
    if (!header.base_address) {
        return bplib_fail(ENOMEM, "no room for the restore code beside the program");
    }
    header.prefix_byte_count = writer->prefix_bytes;
    header.code_byte_count = writer->code_bytes;
    writer->prefix = mmap(NULL, writer->prefix_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (writer->prefix == MAP_FAILED) {
        return bplib_fail(errno, "memory for the capture: %s", bproc_strerror(errno));
    }
    writer->header = (void *)(writer->prefix + BP_IMAGE_HEADER_OFFSET);
    *writer->header = header;
    put_code(writer, &code);
    writer->cursor = writer->prefix_bytes;
    return put_tables(writer, (uint32_t)runs, (uint32_t)checksums);
}

static int finish(struct writer *writer) {
    struct bp_image_header *header = writer->header;
    header->regions.count = writer->region_count;
    header->runs.count = writer->run_count;
    header->checksums.count = writer->checksum_count;
    header->total_byte_count = writer->cursor;
    header->prefix_hash = checksum(writer->prefix, writer->prefix_bytes);
    // Zeros that were found only after they had been written.
    struct stat status;
    if (writer->written > writer->cursor && fstat(writer->file, &status) == 0 &&
        status.st_size == (off_t)(writer->offset + writer->written) &&
        ftruncate(writer->file, (off_t)(writer->offset + writer->cursor)) < 0) {
        return bplib_fail(errno, "the image cannot be cut: %s", bproc_strerror(errno));
    }
    return write_at(writer, writer->prefix, writer->prefix_bytes, 0);
}

int64_t bplib_write_image(struct own_memory *memory, const struct bplib_thread *thread, int file,
                          uint64_t offset) {
    struct writer writer = {.memory = memory, .thread = thread, .file = file, .offset = offset,
                            .prefix = MAP_FAILED};
    int result = begin(&writer);
    if (result == 0) result = store_memory(&writer);
    if (result == 0) result = finish(&writer);
    int error = errno;
    if (writer.prefix != MAP_FAILED) (void)munmap(writer.prefix, writer.prefix_bytes);
    errno = error;
    return result < 0 ? -1 : (int64_t)writer.cursor;
}
