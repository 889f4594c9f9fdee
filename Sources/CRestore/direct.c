// The image run as a program (./image, or execveat of a descriptor): the kernel has mapped the home
// by the ELF header, and nobody has checked anything. This finds the file, checks all of it, and
// goes on as the stub.
//
// A file that is cut short never gets here with less than the whole restore code: the program
// headers are the code's last bytes, and exec refuses a file that lacks them.
#include "bp_image.h"
#include "bp_xxh3.h"
#include "freestanding.h"
#include "report.h"
#include "stub.h"

extern const char bp_text_device[] __attribute__((visibility("hidden")));
extern const char bp_text_socket[] __attribute__((visibility("hidden")));
extern const char bp_text_cpu_suits[] __attribute__((visibility("hidden")));
extern const char bp_text_own_file[] __attribute__((visibility("hidden")));
extern const uint64_t bp_checksum_secret[24] __attribute__((visibility("hidden")));

_Noreturn void bp_stub_main(const unsigned char *base, struct bp_stub_arguments *arguments)
    __attribute__((visibility("hidden")));

enum { AT_SECURE_ = 23, AT_EXECFN_ = 31, F_GET_SEALS_ = 1034, UNCHANGEABLE = 2 | 4 | 8,
       OPEN_CLOSE_ON_EXEC = 02000000 };

struct direct {
    const unsigned char *base;
    const struct bp_image_header *header;
    struct bp_stub_arguments *arguments;
};

BP_INLINE _Noreturn void bp_fail(const struct direct *direct, int stage, int step, long error,
                                 uint64_t detail) {
    bp_stub_fail(direct->arguments, direct->header->name, stage, step, error, detail);
}

// first: see bp_xxh3_long.
BP_BLOB static uint64_t bp_checksum(const unsigned char *first, const unsigned char *bytes,
                                    uint64_t byte_count) {
    return bp_xxh3_long(first, bytes, byte_count, bp_checksum_secret);
}

// Whether a descriptor leads to the file that runs here.
BP_BLOB static int bp_is_own_file(const struct direct *direct, long file) {
    struct bp_image_header found;
    long count = bp_call4(BP_SYS_PREAD64, file, (long)&found, sizeof found, BP_IMAGE_HEADER_OFFSET);
    return count == sizeof found && bp_equal(&found, direct->header, sizeof found);
}

// The number in the name "/dev/fd/<number>", which is what exec was given when it was given a
// descriptor. -1 for other names.
BP_BLOB static long bp_named_descriptor(const char *name) {
    int length = 0;
    for (; bp_text_device[length]; length++)
        if (name[length] != bp_text_device[length]) return -1;
    long number = -1;
    for (; name[length] >= '0' && name[length] <= '9' && number < 1 << 24; length++)
        number = (number < 0 ? 0 : number * 10) + (name[length] - '0');
    return name[length] ? -1 : number;
}

// The image's own file: the descriptor that exec was given, which needs no /proc; the name that it
// was given; the kernel's link to it, for those who changed the name's meaning meanwhile.
BP_BLOB static int bp_open_own_file(const struct direct *direct, const char *name) {
    long number = bp_named_descriptor(name);
    if (number >= 0 && bp_is_own_file(direct, number)) return (int)number;
    const char *names[2];
    names[0] = name;
    names[1] = bp_text_own_file;
    long error = 0;
    for (int i = 0; i < 2; i++) {
        long file = bp_call3(BP_SYS_OPEN, (long)names[i], OPEN_CLOSE_ON_EXEC, 0);
        if (file < 0) {
            if (error == 0) error = file;
            continue;
        }
        if (bp_is_own_file(direct, file)) return (int)file;
        bp_call3(BP_SYS_CLOSE, file, 0, 0);
        error = -BP_ENOEXEC;
    }
    bp_fail(direct, STAGE_HEADER,
            error == -BP_ENOEXEC ? BP_STEP_CHECK_HEADER : BP_STEP_IMAGE_FILE, error, 0);
}

// The prefix as it lies in memory, with its own checksum's field as zero.
BP_BLOB static uint64_t bp_prefix_checksum(const struct direct *direct, uint64_t byte_count) {
    unsigned char first[BP_XXH3_BLOCK];
    bp_copy(first, direct->base, sizeof first);
    bp_zero(first + BP_IMAGE_HEADER_OFFSET + offsetof(struct bp_image_header, prefix_hash), 8);
    return bp_checksum(first, direct->base, byte_count);
}

BP_BLOB static void bp_check_data(const struct direct *direct) {
    const struct bp_image_header *header = direct->header;
    uint64_t start = header->prefix_byte_count, byte_count = header->total_byte_count - start;
    const uint64_t *checksums = (const void *)(direct->base + header->checksums.offset);
    if (byte_count == 0) return;
    long at = bp_call6(BP_SYS_MMAP, 0, (long)byte_count, 1 /* read */, 2 /* private */,
                       direct->arguments->image, (long)start);
    if (at < 0) bp_fail(direct, STAGE_HEADER, BP_STEP_MAP_DATA, at, byte_count);
    const unsigned char *data = (const unsigned char *)at;
    uint64_t block_byte_count = header->checksum_block_byte_count;
    for (uint64_t block = 0, offset = 0; offset < byte_count; block++, offset += block_byte_count) {
        uint64_t rest = byte_count - offset;
        uint64_t count = rest < block_byte_count ? rest : block_byte_count;
        if (bp_checksum(data + offset, data + offset, count) != checksums[block])
            bp_fail(direct, STAGE_HEADER, BP_STEP_DATA_CHECKSUM, -BP_EIO, start + offset);
    }
}

// Nothing that the header says is believed before its checksum fits: how long the prefix is says
// the code, which has the place of the scratch memory behind it.
BP_BLOB static void bp_check_file(const struct direct *direct) {
    const struct bp_image_header *header = direct->header;
    uint64_t prefix = (uint64_t)direct->arguments - (uint64_t)direct->base;
    uint64_t status[18]; /* struct stat: the length is its seventh word */
    int file = direct->arguments->image;
    long result = bp_call3(BP_SYS_FSTAT, file, (long)status, 0);
    if (result < 0) bp_fail(direct, STAGE_HEADER, BP_STEP_IMAGE_FILE, result, 0);
    if (status[6] < prefix) bp_fail(direct, STAGE_HEADER, BP_STEP_SIZE, -BP_ENOEXEC, prefix);
    // Whoever made a memory file unchangeable checked it first: the capture, bproc_undump.
    long seals = bp_call3(BP_SYS_FCNTL, file, F_GET_SEALS_, 0);
    int is_checked = seals >= 0 && (seals & UNCHANGEABLE) == UNCHANGEABLE;
    if (!is_checked && bp_prefix_checksum(direct, prefix) != header->prefix_hash)
        bp_fail(direct, STAGE_HEADER, BP_STEP_PREFIX_CHECKSUM, -BP_EIO, 0);
    if (header->version != BP_IMAGE_VERSION)
        bp_fail(direct, STAGE_HEADER, BP_STEP_VERSION, -BP_ENOEXEC, header->version);
    if (header->magic != BP_IMAGE_MAGIC || header->prefix_byte_count != prefix ||
        header->base_address != (uint64_t)direct->base)
        bp_fail(direct, STAGE_HEADER, BP_STEP_CHECK_HEADER, -BP_ENOEXEC, header->magic);
    if (status[6] < header->total_byte_count)
        bp_fail(direct, STAGE_HEADER, BP_STEP_SIZE, -BP_ENOEXEC, header->total_byte_count);
    if (!is_checked) bp_check_data(direct);
}

// What stands behind the name in an entry of the environment; 0: it begins otherwise.
BP_BLOB static const char *bp_value(const char *entry, const char *name) {
    for (; *name; name++, entry++)
        if (*name != *entry) return 0;
    return entry;
}

// Where the daemon is says the environment of whoever executes the file: that of the image is
// about the place where it was taken. bproc_undump says besides that it has looked at the CPU.
BP_BLOB static void bp_note_entry(struct bp_stub_arguments *arguments, const char *entry) {
    if (bp_value(entry, bp_text_cpu_suits)) arguments->known |= BP_STUB_CPU_SUITS;
    const char *socket = bp_value(entry, bp_text_socket);
    if (!socket) return;
    for (unsigned i = 0; i < sizeof arguments->socket - 1 && socket[i]; i++)
        arguments->socket[i] = socket[i];
}

_Noreturn BP_BLOB void bp_stub_direct(const unsigned char *base, const uint64_t *stack,
                                      struct bp_stub_arguments *arguments) {
    struct direct direct;
    direct.base = base;
    direct.header = (const void *)(base + BP_IMAGE_HEADER_OFFSET);
    direct.arguments = arguments;
    // They lie in memory that exec has just given, and is zeros.
    arguments->byte_count = sizeof *arguments;
    arguments->status = -1;
    arguments->directory = -1;
    const uint64_t *word = stack + 1 + stack[0] + 1;
    for (; *word; word++) bp_note_entry(arguments, (const char *)*word);
    word++;
    const char *name = bp_text_own_file;
    uint64_t has_special_rights = 0;
    for (; word[0]; word += 2) {
        if (word[0] == AT_EXECFN_) name = (const char *)word[1];
        if (word[0] == AT_SECURE_) has_special_rights = word[1];
    }
    // The memory in the image decides what runs, so the image must not lend its owner's rights.
    if (has_special_rights) bp_fail(&direct, STAGE_HEADER, BP_STEP_SET_ID, -BP_EPERM, 0);
    arguments->image = bp_open_own_file(&direct, name);
    bp_check_file(&direct);
    bp_stub_main(base, arguments);
}
