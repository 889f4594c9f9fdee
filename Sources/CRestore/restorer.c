// The restorer: what the daemon executes for every rank, in memory of its own and still with the
// daemon's user. It becomes the rank's user, who from then on may stop it or give it files that
// never answer without the daemon noticing, opens the rank's descriptors, maps the image's first
// pages to where they belong and jumps into the image's own stub. Its arguments are short strings:
//
//   i<fd>  image            s<fd>  status         r<number>  rank        u<uid> g<gid>
//   n<nice>                 p<path>  the daemon's socket, for BPROC_SOCKET
//   N<number>  process number, told to sockets that ask for it and repeated in the record
//   l<0|1>  the program leads a session of its own      o<node>  the node's number
//   b<0|1>  the program starts with the lowest priority
//   k<signal>  sent when the daemon ends
//   c<soft>:<hard>  the limit on processes, which is in force one too high
//   d<path> D<path>  working directory; d: "/" where there is none
//   F<fd>:<flags>:<mode>:<offset>:<path>            open a file as descriptor fd
//   S<fd>:<info>:<family>:<port>:<address in hex>   connect a socket; info 1: number and fd first
#include "bp_image.h"
#include "freestanding.h"
#include "report.h"
#include "stub.h"

struct restorer {
    struct bp_stub_arguments stub;
    uint32_t user, group;
    uint32_t has_user, has_group;
    uint32_t number;
    int32_t death_signal;
};

BP_BLOB static _Noreturn void bp_restorer_fail(const struct restorer *restorer, int stage, int step,
                                               long error, uint64_t detail) {
    struct bp_restore_record record;
    record.magic = BP_RECORD_MAGIC;
    record.rank = restorer->stub.rank;
    record.stage = (uint16_t)stage;
    record.step = (uint16_t)step;
    record.error = (int32_t)-error;
    record.monotonic_nanoseconds = bp_monotonic_nanoseconds();
    record.detail = detail;
    if (restorer->stub.status >= 0)
        bp_call3(BP_SYS_WRITE, restorer->stub.status, (long)&record, sizeof record);
    for (;;) bp_call3(BP_SYS_EXIT_GROUP, 100 + step, 0, 0);
}

// Reads a decimal number with an optional sign; stops at ':' (and passes it) or at the end.
BP_BLOB static int bp_take_number(const char **text, int64_t *value) {
    const char *at = *text;
    int negative = *at == '-';
    if (negative) at++;
    if (*at < '0' || *at > '9') return 0;
    int64_t sum = 0;
    while (*at >= '0' && *at <= '9') {
        if (sum > (INT64_MAX - 9) / 10) return 0;
        sum = sum * 10 + (*at++ - '0');
    }
    if (*at == ':')
        at++;
    else if (*at)
        return 0;
    *value = negative ? -sum : sum;
    *text = at;
    return 1;
}

// Moves our own descriptors out of the way of one that the program shall have.
BP_BLOB static void bp_make_room(struct restorer *restorer, int wanted) {
    int *ours[2] = {&restorer->stub.image, &restorer->stub.status};
    for (int k = 0; k < 2; k++) {
        if (*ours[k] != wanted) continue;
        long moved = bp_call3(BP_SYS_FCNTL, wanted, 0 /* F_DUPFD */, wanted + 1);
        if (moved < 0)
            bp_restorer_fail(restorer, STAGE_IO, BP_STEP_MOVE_DESCRIPTOR, moved, (uint64_t)wanted);
        *ours[k] = (int)moved;
    }
}

BP_BLOB static void bp_place_descriptor(struct restorer *restorer, int step, long descriptor,
                                        int wanted) {
    if (descriptor < 0) bp_restorer_fail(restorer, STAGE_IO, step, descriptor, (uint64_t)wanted);
    // Both numbers may be taken by our own descriptors only while ours move away first, so the new
    // one can have come to lie anywhere but there.
    if (descriptor == wanted) return;
    long result = bp_call3(BP_SYS_DUP3, descriptor, wanted, 0);
    if (result < 0) bp_restorer_fail(restorer, STAGE_IO, step, result, (uint64_t)wanted);
    bp_call3(BP_SYS_CLOSE, descriptor, 0, 0);
}

BP_BLOB static void bp_open_item(struct restorer *restorer, const char *text) {
    int64_t wanted, flags, mode, offset;
    if (!bp_take_number(&text, &wanted) || !bp_take_number(&text, &flags) ||
        !bp_take_number(&text, &mode) || !bp_take_number(&text, &offset) || wanted < 0 ||
        wanted > 1 << 20)
        bp_restorer_fail(restorer, STAGE_IO, BP_STEP_ARGUMENTS, -BP_EINVAL, 'F');
    bp_make_room(restorer, (int)wanted);
    // Close-on-exec and the like are the program's own affair: only what it asked for.
    long file = bp_call3(BP_SYS_OPEN, (long)text, flags, mode);
    if (file >= 0 && offset != 0) {
        long result = bp_call3(BP_SYS_LSEEK, file, offset, 0);
        if (result < 0)
            bp_restorer_fail(restorer, STAGE_IO, BP_STEP_OPEN_ITEM, result, (uint64_t)wanted);
    }
    bp_place_descriptor(restorer, BP_STEP_OPEN_ITEM, file, (int)wanted);
}

BP_INLINE int bp_hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

BP_BLOB static void bp_socket_item(struct restorer *restorer, const char *text) {
    int64_t wanted, info, family, port;
    if (!bp_take_number(&text, &wanted) || !bp_take_number(&text, &info) ||
        !bp_take_number(&text, &family) || !bp_take_number(&text, &port) || wanted < 0 ||
        wanted > 1 << 20 || (family != 2 && family != 10))
        bp_restorer_fail(restorer, STAGE_IO, BP_STEP_ARGUMENTS, -BP_EINVAL, 'S');
    unsigned char address[28]; /* sockaddr_in or sockaddr_in6 */
    bp_zero(address, sizeof address);
    address[0] = (unsigned char)family;
    address[2] = (unsigned char)(port >> 8);
    address[3] = (unsigned char)port;
    int byte_count = family == 2 ? 4 : 16, at = family == 2 ? 4 : 8;
    for (int i = 0; i < byte_count; i++) {
        int high = bp_hex_digit(text[0]);
        int low = high < 0 ? -1 : bp_hex_digit(text[1]);
        if (low < 0) bp_restorer_fail(restorer, STAGE_IO, BP_STEP_ARGUMENTS, -BP_EINVAL, 'S');
        address[at + i] = (unsigned char)(high << 4 | low);
        text += 2;
    }
    bp_make_room(restorer, (int)wanted);
    long descriptor = bp_call3(BP_SYS_SOCKET, family, 1 /* SOCK_STREAM */, 0);
    if (descriptor >= 0) {
        long result =
            bp_call3(BP_SYS_CONNECT, descriptor, (long)address, family == 2 ? 16 : 28);
        if (result < 0)
            bp_restorer_fail(restorer, STAGE_IO, BP_STEP_SOCKET_ITEM, result, (uint64_t)wanted);
        if (info) {
            int32_t words[2] = {(int32_t)restorer->number, (int32_t)wanted};
            result = bp_call3(BP_SYS_WRITE, descriptor, (long)words, sizeof words);
            if (result != sizeof words)
                bp_restorer_fail(restorer, STAGE_IO, BP_STEP_SOCKET_ITEM,
                                 result < 0 ? result : -BP_EIO, (uint64_t)wanted);
        }
    }
    bp_place_descriptor(restorer, BP_STEP_SOCKET_ITEM, descriptor, (int)wanted);
}

BP_BLOB static void bp_take_argument(struct restorer *restorer, const char *text) {
    char kind = *text++;
    if (kind == 'F' || kind == 'S' || kind == 'd' || kind == 'D' || kind == 'c')
        return;
    if (kind == 'p') {
        uint32_t length = 0;
        for (; text[length]; length++) {
            if (length >= sizeof restorer->stub.socket - 1)
                bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_ARGUMENTS, -BP_EINVAL, 'p');
            restorer->stub.socket[length] = text[length];
        }
        return;
    }
    int64_t value;
    if (!bp_take_number(&text, &value))
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_ARGUMENTS, -BP_EINVAL, (uint64_t)kind);
    if (kind == 'i') restorer->stub.image = (int32_t)value;
    else if (kind == 's') restorer->stub.status = (int32_t)value;
    else if (kind == 'r') restorer->stub.rank = (uint32_t)value, restorer->stub.set_rank = 1;
    else if (kind == 'n') restorer->stub.nice = (int32_t)value, restorer->stub.set_nice = 1;
    else if (kind == 'u') restorer->user = (uint32_t)value, restorer->has_user = 1;
    else if (kind == 'g') restorer->group = (uint32_t)value, restorer->has_group = 1;
    else if (kind == 'N') restorer->number = restorer->stub.number = (uint32_t)value;
    else if (kind == 'l') restorer->stub.leads_session = value != 0;
    else if (kind == 'b') restorer->stub.steps_back = value != 0;
    else if (kind == 'o') restorer->stub.node = (int32_t)value, restorer->stub.has_node = 1;
    else if (kind == 'k') restorer->death_signal = (int32_t)value;
    else bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_ARGUMENTS, -BP_EINVAL, (uint64_t)kind);
}

// The number of processes that a user may have is enforced by the kernel when one is made or when
// a program is executed. This one was made by another user and executes nothing any more, so it
// asks by a clone that must fail: with EAGAIN for the limit, or else for the place of its pidfd,
// which is looked at later. The clone counts itself, so the daemon has set a limit that is higher
// by one; the one that counts is set here.
BP_BLOB static void bp_limit_processes(const struct restorer *restorer, const char *text) {
    const long resource = 6; /* RLIMIT_NPROC */
    const long flags = 0x1100; /* CLONE_VM, CLONE_PIDFD */
    const long nowhere = 1;
    int64_t soft, hard;
    if (!bp_take_number(&text, &soft) || !bp_take_number(&text, &hard))
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_ARGUMENTS, -BP_EINVAL, 'c');
    long result = bp_call5(BP_SYS_CLONE, flags, 0, nowhere, 0, 0);
    if (result == -BP_EAGAIN)
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_CLONE, result, restorer->user);
    uint64_t limit[2];
    result = bp_call4(BP_SYS_PRLIMIT64, 0, resource, 0, (long)limit);
    // A daemon without privilege may have had to give less than was wanted.
    if (limit[0] > (uint64_t)soft) limit[0] = (uint64_t)soft;
    if (limit[1] > (uint64_t)hard) limit[1] = (uint64_t)hard;
    if (result >= 0) result = bp_call4(BP_SYS_PRLIMIT64, 0, resource, (long)limit, 0);
    if (result < 0)
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_LIMITS, result, (uint64_t)resource);
}

// Group before user: after the user nothing else would be allowed. Then everything that a change of
// user takes away is set again.
BP_BLOB static void bp_become_user(const struct restorer *restorer) {
    long group = (long)restorer->group, user = (long)restorer->user;
    long result = restorer->has_group ? bp_call3(BP_SYS_SETRESGID, group, group, group) : 0;
    if (result >= 0 && restorer->has_user)
        result = bp_call3(BP_SYS_SETRESUID, user, user, user);
    if (result < 0)
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_CREDENTIALS, result, (uint64_t)user);
    // As after an exec by the user: /proc shows the process to its owner.
    if (restorer->has_user || restorer->has_group)
        bp_call5(BP_SYS_PRCTL, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
    if (!restorer->death_signal) return;
    result = bp_call5(BP_SYS_PRCTL, 1 /* PR_SET_PDEATHSIG */, restorer->death_signal, 0, 0, 0);
    if (result < 0)
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_SESSION, result,
                         (uint64_t)restorer->death_signal);
}

BP_BLOB static void bp_enter_directory(const struct restorer *restorer, const char *argument) {
    long result = bp_call3(BP_SYS_CHDIR, (long)(argument + 1), 0, 0);
    int is_absent = result == -BP_ENOENT || result == -BP_ENOTDIR || result == -BP_EACCES;
    const char root[2] = {'/', 0};
    if (is_absent && argument[0] == 'd') result = bp_call3(BP_SYS_CHDIR, (long)root, 0, 0);
    if (result < 0)
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_WORKING_DIRECTORY, result, 0);
}

// Real, effective and saved must all be what the launch says: a set-uid that went half way is an
// error.
BP_BLOB static void bp_check_credentials(const struct restorer *restorer) {
    uint32_t ids[3];
    long result = bp_call3(BP_SYS_GETRESUID, (long)&ids[0], (long)&ids[1], (long)&ids[2]);
    if (restorer->has_user && (result < 0 || ids[0] != restorer->user ||
                               ids[1] != restorer->user || ids[2] != restorer->user))
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_CREDENTIALS, -BP_EPERM, ids[1]);
    result = bp_call3(BP_SYS_GETRESGID, (long)&ids[0], (long)&ids[1], (long)&ids[2]);
    if (restorer->has_group && (result < 0 || ids[0] != restorer->group ||
                                ids[1] != restorer->group || ids[2] != restorer->group))
        bp_restorer_fail(restorer, STAGE_SPAWN, BP_STEP_CREDENTIALS, -BP_EPERM, ids[1]);
}

// Maps the image's home: code, tables (private and writable: the stub keeps no state there, but the
// kernel may be handed pointers into them) and zero memory for the stub's stack.
BP_BLOB static _Noreturn void bp_enter_image(struct restorer *restorer) {
    struct bp_image_header header;
    int image = restorer->stub.image;
    long count = bp_call4(BP_SYS_PREAD64, image, (long)&header, sizeof header,
                          BP_IMAGE_HEADER_OFFSET);
    if (count != sizeof header)
        bp_restorer_fail(restorer, STAGE_HEADER, BP_STEP_READ_HEADER,
                         count < 0 ? count : -BP_ENOEXEC, (uint64_t)image);
    if (header.magic != BP_IMAGE_MAGIC || header.version != BP_IMAGE_VERSION ||
        header.architecture != BP_IMAGE_ARCHITECTURE_X86_64 ||
        header.code_byte_count >= header.prefix_byte_count ||
        header.prefix_byte_count > BP_IMAGE_PREFIX_MAX ||
        header.scratch_byte_count < BP_IMAGE_SCRATCH ||
        header.stub_entry >= header.code_byte_count)
        bp_restorer_fail(restorer, STAGE_HEADER, BP_STEP_CHECK_HEADER, -BP_ENOEXEC, header.magic);
    uint64_t status[18];
    long result = bp_call3(BP_SYS_FSTAT, image, (long)status, 0);
    if (result < 0 || status[6] < header.total_byte_count)
        bp_restorer_fail(restorer, STAGE_HEADER, BP_STEP_SIZE, result < 0 ? result : -BP_ENOEXEC,
                         status[6]);
    const long fixed = 0x100000; /* MAP_FIXED_NOREPLACE */
    uint64_t base = header.base_address, code = header.code_byte_count;
    uint64_t scratch = base + header.prefix_byte_count;
    long at = bp_call6(BP_SYS_MMAP, (long)base, (long)code, 5 /* read, execute */, 2 | fixed, image,
                       0);
    if (at >= 0)
        at = bp_call6(BP_SYS_MMAP, (long)(base + code), (long)(header.prefix_byte_count - code),
                      3 /* read, write */, 2 | fixed, image, (long)code);
    if (at >= 0)
        at = bp_call6(BP_SYS_MMAP, (long)scratch, (long)header.scratch_byte_count, 3,
                      0x22 | fixed, -1, 0);
    if (at < 0 || (uint64_t)at != scratch)
        bp_restorer_fail(restorer, STAGE_RESTORE, BP_STEP_MAP_STUB, at < 0 ? at : -BP_EEXIST, base);
    bp_copy((void *)scratch, &restorer->stub, sizeof restorer->stub);
    ((void (*)(void))(base + header.stub_entry))();
    for (;;) bp_call3(BP_SYS_EXIT_GROUP, 100, 0, 0);
}

_Noreturn BP_BLOB void bp_restorer_main(const uint64_t *stack) {
    struct restorer restorer;
    bp_zero(&restorer, sizeof restorer);
    restorer.stub.byte_count = sizeof restorer.stub;
    restorer.stub.image = -1;
    restorer.stub.status = -1;
    restorer.stub.cpu_checked = 1;
    uint64_t count = stack[0];
    const char *const *arguments = (const char *const *)(stack + 1);
    for (uint64_t i = 1; i < count; i++) bp_take_argument(&restorer, arguments[i]);
    bp_become_user(&restorer);
    bp_check_credentials(&restorer);
    for (uint64_t i = 1; i < count; i++) {
        char kind = arguments[i][0];
        if (kind == 'c') bp_limit_processes(&restorer, arguments[i] + 1);
        if (kind == 'd' || kind == 'D') bp_enter_directory(&restorer, arguments[i]);
    }
    for (uint64_t i = 1; i < count; i++) {
        if (arguments[i][0] == 'F') bp_open_item(&restorer, arguments[i] + 1);
        if (arguments[i][0] == 'S') bp_socket_item(&restorer, arguments[i] + 1);
    }
    bp_enter_image(&restorer);
}
