// The image of the caller itself. It says in a record what cannot be seen from outside, and waits;
// a helper reads its memory.
//
// The memory that is at work meanwhile is mapped for the purpose and left out of the image. Nothing
// is allocated otherwise: what the allocator gave would be lost in the restored process.
#define _GNU_SOURCE
#include "internal.h"

#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc 2.35 and later; absent in other C libraries.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

enum {
    PAGE = 4096,
    RSEQ_BYTES = 32,           // what glibc registers at least
    RSEQ_SIGNATURE = 0x53053053, // and with what signature, on x86
    GET_TID_ADDRESS = 40,      // PR_GET_TID_ADDRESS, which older headers lack
};

// What the wait needs, in pages of its own.
struct exchange {
    struct bproc_local_header header;
    struct bproc_local_caller caller;
    struct {
        struct bproc_local_header header;
        struct bproc_local_captured body;
    } answer;
    sigset_t mask;
};

enum { EXCHANGE_BYTES = (sizeof(struct exchange) + PAGE - 1) / PAGE * PAGE };

int bplib_check_caller(void) {
    // The restored process has the rights that the daemon sees, all three of a kind.
    uid_t user[3];
    gid_t group[3];
    if (getauxval(AT_SECURE) || getresuid(&user[0], &user[1], &user[2]) < 0 ||
        getresgid(&group[0], &group[1], &group[2]) < 0 || user[0] != user[1] ||
        user[1] != user[2] || group[0] != group[1] || group[1] != group[2]) {
        return bplib_fail(EPERM, "a process with another user's rights cannot be moved");
    }
    // A link for each thread, and the two of every directory. Where there is no /proc the helper
    // finds out.
    struct stat status;
    if (stat("/proc/self/task", &status) < 0 || status.st_nlink <= 3) return 0;
    return bplib_fail(EBUSY, "a process with several threads cannot be moved");
}

void bplib_set_mask(const sigset_t *mask) {
    int error = errno;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, NULL, 8);
    errno = error;
}

static void describe_signals(struct bproc_local_caller *caller) {
    stack_t alternate = {.ss_flags = SS_DISABLE};
    (void)sigaltstack(NULL, &alternate);
    caller->alternate_stack_address = (uint64_t)alternate.ss_sp;
    caller->alternate_stack_byte_count = alternate.ss_size;
    caller->alternate_stack_flags = (uint32_t)alternate.ss_flags;
    // As the kernel has them: the C library hides its own restorer, and two signals altogether.
    for (int number = 1; number <= BPROC_LOCAL_SIGNALS; number++) {
        (void)syscall(SYS_rt_sigaction, number, NULL, &caller->actions[number - 1], 8);
    }
}

static void describe_thread(struct bproc_local_caller *caller) {
    (void)syscall(SYS_arch_prctl, ARCH_GET_FS, &caller->fs_base);
    (void)syscall(SYS_arch_prctl, ARCH_GET_GS, &caller->gs_base);
    (void)prctl(GET_TID_ADDRESS, &caller->thread_id_address, 0, 0, 0);
    (void)syscall(SYS_get_robust_list, 0, &caller->robust_list_address,
                  &caller->robust_list_byte_count);
    if (&__rseq_size && &__rseq_offset && __rseq_size > 0) {
        unsigned int least = __rseq_size > RSEQ_BYTES ? __rseq_size : RSEQ_BYTES;
        caller->rseq_address = caller->fs_base + (uint64_t)__rseq_offset;
        caller->rseq_byte_count = (least + RSEQ_BYTES - 1) / RSEQ_BYTES * RSEQ_BYTES;
        caller->rseq_signature = RSEQ_SIGNATURE;
    }
}

static void describe(struct exchange *exchange, const struct bproc_local_network *network,
                     uint64_t mask) {
    struct bproc_local_caller *caller = &exchange->caller;
    caller->signal_mask = mask;
    describe_signals(caller);
    describe_thread(caller);
    caller->brk = (uint64_t)syscall(SYS_brk, 0);
    caller->place_address = (uint64_t)&bplib_place;
    caller->scratch_address = (uint64_t)exchange;
    caller->scratch_byte_count = EXCHANGE_BYTES;
    caller->packing.compression = BPROC_LOCAL_COMPRESSION_AUTO;
    caller->packing.network = *network;
    exchange->header = (struct bproc_local_header){
        .magic = BPROC_LOCAL_MAGIC,
        .version = BPROC_LOCAL_VERSION,
        .kind = BPROC_LOCAL_CAPTURE_CALLER,
        .body_bytes = sizeof exchange->caller,
    };
}

static int lost_helper(int error) {
    if (error) return bplib_fail(error, "capture helper: %s", bproc_strerror(error));
    return bplib_fail(EIO, "the capture helper ended without an answer");
}

// Sends the record and waits for the image. All signals are blocked, so nothing interrupts this but
// the end of the process.
static int converse(int socket, struct exchange *exchange) {
    size_t byte_count = sizeof exchange->header + sizeof exchange->caller;
    if (send(socket, &exchange->header, byte_count, MSG_NOSIGNAL) != (ssize_t)byte_count) {
        return lost_helper(errno);
    }
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control;
    struct iovec part = {&exchange->answer, sizeof exchange->answer};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t count = recvmsg(socket, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    if (count < 0) return lost_helper(errno);
    int descriptor = -1;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
    }
    int image = -1;
    if (count != sizeof exchange->answer) {
        lost_helper(0);
    } else {
        image = bplib_accept_image("the caller", &exchange->answer.header, &exchange->answer.body,
                                   &descriptor, NULL);
    }
    if (descriptor >= 0) close(descriptor);
    return image;
}

// Everything between the blocked signals and the image.
static int take_image(struct exchange *exchange, const struct bplib_helper *helper,
                      int ends[2]) {
    pid_t pid = bplib_start_helper(helper, ends[1], NULL);
    int error = errno;
    close(ends[1]);
    ends[1] = -1;
    errno = error;
    if (pid < 0) return -1;
    // Where the kernel lets only ancestors look into a process (Yama), the helper needs leave. Who
    // had it before cannot be asked.
    bool given = prctl(PR_SET_PTRACER, pid, 0, 0, 0) == 0;
    int image = converse(ends[0], exchange);
    error = errno;
    if (given) (void)prctl(PR_SET_PTRACER, 0, 0, 0, 0);
    errno = error;
    return image;
}

// The first steps of the process that the image has become.
static void settle_in(void) {
    if (bplib_place.remains_address) {
        (void)munmap((void *)bplib_place.remains_address, PAGE);
        bplib_place.remains_address = 0;
    }
}

static int capture(const struct bplib_helper *helper, int ends[2], struct exchange *exchange,
                   sigset_t *mask) {
    uint64_t all = ~(uint64_t)0, before = 0;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    describe(exchange, &helper->network, before);
    memset(&exchange->mask, 0, sizeof exchange->mask);
    memcpy(&exchange->mask, &before, sizeof before);
    // From here on two processes run: in the restored one nothing of the exchange exists.
    if (bplib_save_registers(&exchange->caller.registers)) {
        settle_in();
        return BPLIB_RESTORED;
    }
    int image = take_image(exchange, helper, ends);
    *mask = exchange->mask;
    if (image < 0) bplib_set_mask(mask);
    return image;
}

int bplib_capture_caller(const struct bplib_helper *helper, sigset_t *mask) {
    int ends[2] = {-1, -1};
    struct exchange *exchange = MAP_FAILED;
    int image = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        bplib_fail(errno, "capture helper: socket pair: %s", bproc_strerror(errno));
    } else {
        exchange = mmap(NULL, EXCHANGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
        if (exchange == MAP_FAILED) {
            bplib_fail(errno, "memory for the capture: %s", bproc_strerror(errno));
        } else {
            image = capture(helper, ends, exchange, mask);
            if (image == BPLIB_RESTORED) return BPLIB_RESTORED;
        }
    }
    int error = errno;
    if (exchange != MAP_FAILED) (void)munmap(exchange, EXCHANGE_BYTES);
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) close(ends[i]);
    }
    bplib_return_helper(helper);
    errno = error;
    return image;
}
