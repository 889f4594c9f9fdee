// Who adopts orphans below the caller: a property of the whole process, which some calls change for
// a moment, one at a time.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

// A forked child must not find the lock taken by a thread that it does not have.
static void take(void) { (void)pthread_mutex_lock(&lock); }
static void leave(void) { (void)pthread_mutex_unlock(&lock); }
static void install(void) { (void)pthread_atfork(take, leave, leave); }

static void set(int adopts) {
    int error = errno;
    (void)prctl(PR_SET_CHILD_SUBREAPER, adopts, 0, 0, 0);
    errno = error;
}

int bplib_begin_orphans(int adopts) {
    int before = 0;
    (void)pthread_once(&once, install);
    take();
    (void)prctl(PR_GET_CHILD_SUBREAPER, &before, 0, 0, 0);
    if (before != adopts) set(adopts);
    return before;
}

void bplib_end_orphans(int before) {
    set(before);
    leave();
}

// Nobody else can have held the lock: only a caller with one thread is taken an image of.
void bplib_forget_orphans(void) { leave(); }
