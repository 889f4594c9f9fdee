// Who adopts orphans below the caller: a property of the whole process, which some calls change for
// a moment, one at a time. While a process takes orphans, those of processes that it has forked
// would come to it as well; so nobody in a family of forks leaves any behind meanwhile. The lock
// for that is one of a file that the family inherits, which the kernel lifts for who is killed.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// Above the numbers that programs use; a longer wait than one for a stopped relative helps nobody.
enum { LOWEST_NUMBER = 128, PATIENCE_MILLISECONDS = 1000, TRIES_PER_MILLISECOND = 10 };

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
// A helper is started while ghosts are being made: what the first call wants is what is.
static int depth;

// The family's file. A program may have closed it, and may have another of that number.
static struct {
    bool is_made;
    int number;
    dev_t device;
    ino_t inode;
} family;

static bool has_family(void) {
    struct stat now;
    return family.is_made && fstat(family.number, &now) == 0 && now.st_dev == family.device &&
           now.st_ino == family.inode;
}

// Whoever forks for the first time founds one. Without it there are only the caller's own orphans.
static void found_family(void) {
    struct stat made;
    if (has_family()) return;
    int file = memfd_create("bproc-family", MFD_CLOEXEC);
    if (file < 0) return;
    family.number = fcntl(file, F_DUPFD_CLOEXEC, LOWEST_NUMBER);
    close(file);
    family.is_made = family.number >= 0 && fstat(family.number, &made) == 0;
    if (!family.is_made) return;
    family.device = made.st_dev;
    family.inode = made.st_ino;
}

static void lock_family(short kind) {
    const struct timespec a_while = {.tv_nsec = 1000000 / TRIES_PER_MILLISECOND};
    struct flock whole = {.l_type = kind, .l_whence = SEEK_SET};
    if (!has_family()) return;
    for (int tries = 0; tries < PATIENCE_MILLISECONDS * TRIES_PER_MILLISECOND; tries++) {
        if (fcntl(family.number, F_SETLK, &whole) == 0) return;
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) return;
        (void)nanosleep(&a_while, NULL);
    }
}

// A forked child must not find the lock taken by a thread that it does not have.
static void take(void) {
    int error = errno;
    (void)pthread_mutex_lock(&lock);
    found_family();
    errno = error;
}
static void leave(void) { (void)pthread_mutex_unlock(&lock); }

// In a process with one thread, which is not the one that has taken it.
static void renew(void) {
    lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    depth = 0;
}

__attribute__((constructor)) static void install(void) {
    (void)pthread_atfork(take, leave, renew);
}

int bplib_begin_orphans(int adopts) {
    int before = 0, error = errno;
    (void)pthread_mutex_lock(&lock);
    if (depth++ == 0) lock_family(adopts ? F_WRLCK : F_RDLCK);
    (void)prctl(PR_GET_CHILD_SUBREAPER, &before, 0, 0, 0);
    if (before != adopts) (void)prctl(PR_SET_CHILD_SUBREAPER, adopts, 0, 0, 0);
    errno = error;
    return before;
}

void bplib_end_orphans(int before) {
    int error = errno;
    (void)prctl(PR_SET_CHILD_SUBREAPER, before, 0, 0, 0);
    if (--depth == 0) lock_family(F_UNLCK);
    leave();
    errno = error;
}

// Only a caller with one thread is taken an image of.
void bplib_forget_orphans(void) {
    family.is_made = false;
    renew();
}
