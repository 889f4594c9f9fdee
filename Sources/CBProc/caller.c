// The image of the caller itself, which it writes from inside.
//
// The memory that is at work meanwhile is mapped for the purpose and left out of the image. Nothing
// is allocated otherwise: what the allocator gave would be lost in the restored process.
#define _GNU_SOURCE
#include "ownimage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

// A directory has a link for each of its own, here the threads, and two more.
static int check_threads(int directory, const char *name) {
    struct stat status;
    if (fstatat(directory, name, &status, 0) < 0 || status.st_nlink <= 3) return 0;
    return bplib_fail(EBUSY, "a process with several threads cannot be moved");
}

int bplib_check_caller(void) {
    // The restored process has the rights that the daemon sees, all three of a kind.
    uid_t user[3];
    gid_t group[3];
    if (getauxval(AT_SECURE) || getresuid(&user[0], &user[1], &user[2]) < 0 ||
        getresgid(&group[0], &group[1], &group[2]) < 0 || user[0] != user[1] ||
        user[1] != user[2] || group[0] != group[1] || group[1] != group[2]) {
        return bplib_fail(EPERM, "a process with another user's rights cannot be moved");
    }
    // Where there is no /proc the capture finds out.
    return check_threads(AT_FDCWD, "/proc/self/task");
}

void bplib_set_mask(const sigset_t *mask) {
    int error = errno;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, NULL, 8);
    errno = error;
}

// The first steps of the process that the image has become.
static void settle_in(void) {
    bplib_forget_features();
    if (bplib_place.remains_address) {
        (void)munmap((void *)bplib_place.remains_address, PAGE);
        bplib_place.remains_address = 0;
    }
}

// Everything between the blocked signals and the image.
static int64_t take_image(struct own_memory *memory, const struct bplib_thread *thread, int file,
                          uint64_t offset) {
    // The stack reaches below everything that the image needs of it.
    volatile char room[PAGE / 2];
    room[0] = 0;
    if (check_threads(memory->directory, "task") < 0 || bplib_survey_memory(memory) < 0) return -1;
    return bplib_write_image(memory, thread, file, offset) + room[0];
}

// What comes with EFBIG: an error is an answer, a death is none.
static void forget_size_signal(void) {
    sigset_t set;
    const struct timespec at_once = {0, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    (void)sigtimedwait(&set, NULL, &at_once);
    errno = EFBIG;
}

static int64_t capture(struct own_memory *memory, int file, uint64_t offset, sigset_t *mask) {
    uint64_t all = ~(uint64_t)0;
    struct bplib_thread thread;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &thread.signal_mask, 8);
    memset(mask, 0, sizeof *mask);
    memcpy(mask, &thread.signal_mask, sizeof thread.signal_mask);
    // From here on two processes run: in the restored one nothing of the memory exists.
    if (bplib_save_registers(&thread.registers)) {
        settle_in();
        return BPLIB_RESTORED;
    }
    int64_t byte_count = take_image(memory, &thread, file, offset);
    if (byte_count < 0) {
        if (errno == EFBIG) forget_size_signal();
        bplib_set_mask(mask);
    }
    return byte_count;
}

// The caller's directory in a /proc: a daemon lends one to who sees none.
static int open_directory(int lent) {
    int directory = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0 || lent < 0) return directory;
    return fcntl(lent, F_DUPFD_CLOEXEC, 0);
}

int64_t bplib_capture_caller(int lent_directory, struct bplib_stretch left_out, int file,
                             uint64_t offset, sigset_t *mask) {
    int directory = open_directory(lent_directory);
    if (directory < 0) {
        return bplib_fail(errno, "/proc, which an image is taken by: %s", bproc_strerror(errno));
    }
    struct own_memory *memory = mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int64_t result = -1;
    if (memory == MAP_FAILED) {
        bplib_fail(errno, "memory for the capture: %s", bproc_strerror(errno));
    } else {
        memory->directory = directory;
        const uint64_t start = (uint64_t)memory;
        memory->left_out[0] = (struct bplib_stretch){
            start, (start + sizeof *memory + PAGE - 1) & ~(uint64_t)(PAGE - 1)};
        memory->left_out[1] = left_out;
        result = capture(memory, file, offset, mask);
        if (result == BPLIB_RESTORED) return BPLIB_RESTORED;
    }
    int error = errno;
    if (memory != MAP_FAILED) (void)munmap(memory, sizeof *memory);
    close(directory);
    errno = error;
    return result;
}

// A file that its users may run but nobody, by whatever descriptor, may open for writing.
static int seal(int file) {
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (fchmod(file, 0555) == 0 && fcntl(file, F_ADD_SEALS, seals) == 0) return 0;
    return bplib_fail(errno, "seal image file: %s", bproc_strerror(errno));
}

static int make_file(void) {
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING, exec = 0x10; /* MFD_EXEC: Linux 6.3 */
    int file = memfd_create("bproc-image", flags | exec);
    if (file < 0 && errno == EINVAL) file = memfd_create("bproc-image", flags);
    return file >= 0 ? file : bplib_fail(errno, "create image file: %s", bproc_strerror(errno));
}

int bplib_image_of_caller(const struct bplib_helper *helper, struct bplib_stretch left_out,
                          sigset_t *mask) {
    int file = make_file();
    if (file < 0) return -1;
    // The caller's limit is meant for its own files.
    struct rlimit limit, most;
    bool is_limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != limit.rlim_max;
    most = (struct rlimit){limit.rlim_max, limit.rlim_max};
    if (is_limited) (void)setrlimit(RLIMIT_FSIZE, &most);
    int64_t byte_count = bplib_capture_caller(helper->directory, left_out, file, 0, mask);
    if (is_limited) (void)setrlimit(RLIMIT_FSIZE, &limit);
    if (byte_count == BPLIB_RESTORED) return BPLIB_RESTORED;
    if (byte_count >= 0 && seal(file) == 0) return bplib_pack(helper, file);
    int error = errno;
    if (byte_count >= 0) bplib_set_mask(mask);
    close(file);
    errno = error;
    return -1;
}
