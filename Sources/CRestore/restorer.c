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
//   h<0|1>  the program waits, placed, until it is told on the status descriptor to go on
//   F<fd>:<flags>:<mode>:<offset>:<path>            open a file as descriptor fd
//   S<fd>:<info>:<family>:<port>:<address in hex>   connect a socket; info 1: number and fd first
//   +F… +S…  the same, but when that wait is over
//
// I alone makes it the first process of the slave's pid namespace instead.
#include "bp_image.h"
#include "freestanding.h"
#include "initial.h"
#include "report.h"
#include "items.h"
#include "stub.h"

extern const char bp_text_tmpfs[] __attribute__((visibility("hidden")));

struct restorer {
    uint32_t user, group;
    uint32_t has_user, has_group;
    int32_t death_signal;
    struct bp_stub_arguments stub; /* its last part, the items, is read only as far as it is used */
};

BP_BLOB static _Noreturn void bp_restorer_fail(const struct restorer *restorer, int stage, int step,
                                               long error, uint64_t detail) {
    if (restorer->stub.status >= 0) bp_report(&restorer->stub, stage, step, error, detail);
    for (;;) bp_call3(BP_SYS_EXIT_GROUP, 100 + step, 0, 0);
}

BP_BLOB static void bp_take_argument(struct restorer *restorer, const char *text) {
    if (bp_is_item(text)) return;
    char kind = *text++;
    if (kind == 'd' || kind == 'D' || kind == 'c') return;
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
    else if (kind == 'N') restorer->stub.number = (uint32_t)value;
    else if (kind == 'l') restorer->stub.leads_session = value != 0;
    else if (kind == 'o') restorer->stub.node = (int32_t)value, restorer->stub.has_node = 1;
    else if (kind == 'h') restorer->stub.is_held = value != 0;
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

// A tmpfs that is mounted nowhere and ends with the last descriptor: what the image brings along
// has its name there, and nothing of it comes into the node's own files. It takes the daemon's
// privilege; without it there is none, and the stub does as well as it can.
BP_BLOB static void bp_make_directory(struct restorer *restorer) {
    const long close_on_exec = 1, create = 6, no_special_rights = 2 | 4;
    long context = bp_call3(BP_SYS_FSOPEN, (long)bp_text_tmpfs, close_on_exec, 0);
    if (context < 0) return;
    if (bp_call5(BP_SYS_FSCONFIG, context, create, 0, 0, 0) >= 0) {
        long mount = bp_call3(BP_SYS_FSMOUNT, context, close_on_exec, no_special_rights);
        if (mount >= 0) restorer->stub.directory = (int32_t)mount;
    }
    bp_call3(BP_SYS_CLOSE, context, 0, 0);
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
BP_BLOB static _Noreturn void bp_enter_image(struct restorer *restorer,
                                             const struct bp_image_header *header, long count) {
    int image = restorer->stub.image;
    if (count != sizeof *header)
        bp_restorer_fail(restorer, STAGE_HEADER, BP_STEP_READ_HEADER,
                         count < 0 ? count : -BP_ENOEXEC, (uint64_t)image);
    if (header->magic != BP_IMAGE_MAGIC || header->version != BP_IMAGE_VERSION ||
        header->architecture != BP_IMAGE_ARCHITECTURE_X86_64 ||
        header->code_byte_count >= header->prefix_byte_count ||
        header->prefix_byte_count > BP_IMAGE_PREFIX_MAX ||
        header->scratch_byte_count < BP_IMAGE_SCRATCH ||
        header->stub_entry >= header->code_byte_count)
        bp_restorer_fail(restorer, STAGE_HEADER, BP_STEP_CHECK_HEADER, -BP_ENOEXEC, header->magic);
    uint64_t status[18];
    long result = bp_call3(BP_SYS_FSTAT, image, (long)status, 0);
    if (result < 0 || status[6] < header->total_byte_count)
        bp_restorer_fail(restorer, STAGE_HEADER, BP_STEP_SIZE, result < 0 ? result : -BP_ENOEXEC,
                         status[6]);
    const long fixed = 0x100000; /* MAP_FIXED_NOREPLACE */
    uint64_t base = header->base_address, code = header->code_byte_count;
    uint64_t scratch = base + header->prefix_byte_count;
    long at = bp_call6(BP_SYS_MMAP, (long)base, (long)code, 5 /* read, execute */, 2 | fixed, image,
                       0);
    if (at >= 0)
        at = bp_call6(BP_SYS_MMAP, (long)(base + code), (long)(header->prefix_byte_count - code),
                      3 /* read, write */, 2 | fixed, image, (long)code);
    if (at >= 0)
        at = bp_call6(BP_SYS_MMAP, (long)scratch, (long)header->scratch_byte_count, 3,
                      0x22 | fixed, -1, 0);
    if (at < 0 || (uint64_t)at != scratch)
        bp_restorer_fail(restorer, STAGE_RESTORE, BP_STEP_MAP_STUB, at < 0 ? at : -BP_EEXIST, base);
    bp_copy((void *)scratch, &restorer->stub,
            offsetof(struct bp_stub_arguments, items) + restorer->stub.item_byte_count);
    ((struct bp_stub_arguments *)scratch)->directory = restorer->stub.directory;
    ((void (*)(void))(base + header->stub_entry))();
    for (;;) bp_call3(BP_SYS_EXIT_GROUP, 100, 0, 0);
}

_Noreturn BP_BLOB void bp_restorer_main(const uint64_t *stack) {
    struct restorer restorer;
    bp_zero(&restorer, offsetof(struct restorer, stub.items));
    restorer.stub.byte_count = sizeof restorer.stub;
    restorer.stub.image = -1;
    restorer.stub.status = -1;
    restorer.stub.directory = -1;
    // The daemon has seen to both (spawning.c).
    restorer.stub.known = BP_STUB_CPU_SUITS | BP_STUB_SIGNALS_ARE_DEFAULT;
    uint64_t count = stack[0];
    const char *const *arguments = (const char *const *)(stack + 1);
    if (count == 2 && arguments[1][0] == 'I') bp_initial_process();
    for (uint64_t i = 1; i < count; i++) bp_take_argument(&restorer, arguments[i]);
    struct bp_image_header header;
    long header_count = bp_call4(BP_SYS_PREAD64, restorer.stub.image, (long)&header, sizeof header,
                                 BP_IMAGE_HEADER_OFFSET);
    if (header_count == sizeof header && header.files.count > 0) bp_make_directory(&restorer);
    bp_become_user(&restorer);
    bp_check_credentials(&restorer);
    for (uint64_t i = 1; i < count; i++) {
        char kind = arguments[i][0];
        if (kind == 'c') bp_limit_processes(&restorer, arguments[i] + 1);
        if (kind == 'd' || kind == 'D') bp_enter_directory(&restorer, arguments[i]);
    }
    for (uint64_t i = 1; i < count; i++) {
        if (!bp_is_item(arguments[i])) continue;
        struct bp_item_failure failure = {BP_STEP_ARGUMENTS, -BP_E2BIG, 0};
        int result = bp_is_delayed(arguments[i])
                         ? bp_keep_item(&restorer.stub, arguments[i])
                         : bp_set_up_item(&restorer.stub, arguments[i], &failure);
        if (result < 0)
            bp_restorer_fail(&restorer, STAGE_IO, failure.step, failure.error, failure.detail);
    }
    bp_enter_image(&restorer, &header, header_count);
}
