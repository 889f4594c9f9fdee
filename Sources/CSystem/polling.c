#define _GNU_SOURCE
#include "include/process.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long bp_epoll_create(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

long bp_epoll_set(int epoll, int fd, uint32_t events, int is_known) {
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.fd = fd};
    int operation = events == 0 ? EPOLL_CTL_DEL : is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

long bp_epoll_wait(int epoll, struct bp_ready *ready, int capacity, int64_t nanoseconds) {
    struct epoll_event events[128];
    struct timespec timeout = {
        .tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    if (capacity > 128) capacity = 128;
    int count;
#ifdef SYS_epoll_pwait2
    count = (int)syscall(SYS_epoll_pwait2, epoll, events, capacity,
                         nanoseconds < 0 ? NULL : &timeout, NULL, 0);
    /* Some sandboxes answer EPERM to calls they do not know. */
    if (count < 0 && (errno == ENOSYS || errno == EPERM))
#endif
    {
        int64_t milliseconds = timeout.tv_sec >= INT32_MAX / 1000
                                   ? INT32_MAX
                                   : (nanoseconds + 999999) / 1000000;
        count = epoll_wait(epoll, events, capacity, nanoseconds < 0 ? -1 : (int)milliseconds);
    }
    if (count < 0) return -errno;
    for (int index = 0; index < count; index++) {
        ready[index].fd = events[index].data.fd;
        ready[index].events = events[index].events;
    }
    return count;
}
