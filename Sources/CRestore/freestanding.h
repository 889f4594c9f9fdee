// What the restore code has instead of a C library: system calls, three loops over bytes, CPUID.
// Everything here is inlined, so the section bp_restore refers to nothing outside itself.
#pragma once
#include "bp_calls.h"
#include <stddef.h>
#include <stdint.h>

// The code is copied out of the executable and runs elsewhere: no sanitizer or profile hooks, no
// stack protector, and the linker must not drop it, since only its bounds are referred to.
#define BP_BLOB                                                                                    \
    __attribute__((section("bp_restore"), used, retain, noinline, visibility("hidden"),            \
                   disable_sanitizer_instrumentation, no_profile_instrument_function))
#define BP_INLINE static inline __attribute__((always_inline, unused))

enum {
    BP_SYS_READ = 0, BP_SYS_WRITE = 1, BP_SYS_OPEN = 2, BP_SYS_CLOSE = 3, BP_SYS_FSTAT = 5,
    BP_SYS_LSEEK = 8, BP_SYS_MMAP = 9, BP_SYS_MPROTECT = 10, BP_SYS_MUNMAP = 11,
    BP_SYS_RT_SIGACTION = 13, BP_SYS_PREAD64 = 17, BP_SYS_ACCESS = 21, BP_SYS_MREMAP = 25,
    BP_SYS_PAUSE = 34, BP_SYS_GETPID = 39, BP_SYS_SOCKET = 41, BP_SYS_CONNECT = 42,
    BP_SYS_SENDTO = 44, BP_SYS_SETSOCKOPT = 54, BP_SYS_CLONE = 56,
    BP_SYS_EXIT = 60, BP_SYS_FCNTL = 72, BP_SYS_CHDIR = 80, BP_SYS_SETSID = 112,
    BP_SYS_SETRESUID = 117, BP_SYS_GETRESUID = 118, BP_SYS_SETRESGID = 119,
    BP_SYS_GETRESGID = 120,
    BP_SYS_FCHMOD = 91, BP_SYS_SETPRIORITY = 141, BP_SYS_PRCTL = 157, BP_SYS_ARCH_PRCTL = 158,
    BP_SYS_SET_TID_ADDRESS = 218, BP_SYS_SCHED_SETATTR = 314,
    BP_SYS_CLOCK_GETTIME = 228, BP_SYS_EXIT_GROUP = 231, BP_SYS_SET_ROBUST_LIST = 273,
    BP_SYS_DUP3 = 292, BP_SYS_PRLIMIT64 = 302, BP_SYS_PROCESS_VM_READV = 310,
    BP_SYS_GETRANDOM = 318, BP_SYS_MEMFD_CREATE = 319, BP_SYS_RSEQ = 334, BP_SYS_CLOSE_RANGE = 436,
    BP_SYS_OPENAT = 257, BP_SYS_MKDIRAT = 258, BP_SYS_FSOPEN = 430, BP_SYS_FSCONFIG = 431,
    BP_SYS_FSMOUNT = 432,
};

enum {
    BP_EPERM = 1, BP_ENOENT = 2, BP_EINTR = 4, BP_EIO = 5, BP_E2BIG = 7, BP_ENOEXEC = 8,
    BP_EAGAIN = 11, BP_EACCES = 13, BP_EEXIST = 17, BP_ENOTDIR = 20, BP_EINVAL = 22,
    BP_ETIMEDOUT = 110, BP_EINPROGRESS = 115,
};

BP_INLINE long bp_call6(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

BP_INLINE long bp_call5(long number, long a, long b, long c, long d, long e) {
    return raw_call(number, a, b, c, d, e);
}

BP_INLINE long bp_call3(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

BP_INLINE long bp_call4(long number, long a, long b, long c, long d) {
    return bp_call5(number, a, b, c, d, 0);
}

BP_INLINE void bp_copy(void *target, const void *source, size_t byte_count) {
    __asm__ volatile("rep movsb"
                     : "+D"(target), "+S"(source), "+c"(byte_count)
                     :
                     : "memory");
}

BP_INLINE void bp_zero(void *target, size_t byte_count) {
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(byte_count) : "a"(0) : "memory");
}

BP_INLINE int bp_equal(const void *left, const void *right, size_t byte_count) {
    const volatile unsigned char *a = left, *b = right;
    for (size_t i = 0; i < byte_count; i++)
        if (a[i] != b[i]) return 0;
    return 1;
}

// The same of memory that is aligned as words are, in an eighth of the steps.
BP_INLINE int bp_equal_words(const void *left, const void *right, size_t byte_count) {
    typedef uint64_t __attribute__((may_alias)) word;
    const volatile word *a = left, *b = right;
    for (size_t i = 0; i < byte_count / sizeof *a; i++)
        if (a[i] != b[i]) return 0;
    return 1;
}

BP_INLINE uint64_t bp_monotonic_nanoseconds(void) {
    uint64_t time[2] = {0, 0};
    bp_call3(BP_SYS_CLOCK_GETTIME, 1 /* CLOCK_MONOTONIC */, (long)time, 0);
    return time[0] * 1000000000u + time[1];
}
