// System calls without a C library: what runs here shares memory with another process, errno
// included. x86-64; porting means this file.
#pragma once
#include <stdint.h>

// Inlined always: some of what calls it is copied to where nothing else is.
static inline __attribute__((always_inline)) long raw_call(long number, long a, long b, long c,
                                                           long d, long e) {
    long result;
    register long fourth __asm__("r10") = d;
    register long fifth __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
                     : "rcx", "r11", "memory");
    return result;
}

// A process that begins in body(argument) on a stack of its own; body never returns.
static inline long raw_clone(unsigned long flags, void *stack_end, void (*body)(void *),
                             void *argument) {
    long result;
    register long fourth __asm__("r10") = 0;
    register long fifth __asm__("r8") = 0;
    register void *own_body __asm__("r12") = (void *)body;
    register void *own_argument __asm__("r13") = argument;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "a"(56L), "D"(flags), "S"(stack_end), "d"(0L), "r"(fourth), "r"(fifth),
                       "r"(own_body), "r"(own_argument)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

// Two clones in a row, both with these flags. The caller goes on in body(argument) on the other
// stack and never comes back; its child ends at once; its grandchild returns from here, with 0, on
// the stack that all three began on. Nothing touches that stack in between. A negated errno in the
// caller if the first clone fails; if the second fails, nobody returns and body sees no grandchild.
static inline long raw_split(unsigned long flags, void *stack_end, void (*body)(void *),
                             void *argument) {
    long result;
    register unsigned long own_flags __asm__("r12") = flags;
    register void *own_stack __asm__("r13") = stack_end;
    register void *own_body __asm__("r14") = (void *)body;
    register void *own_argument __asm__("r15") = argument;
    __asm__ volatile("movl $56, %%eax\n\t"
                     "movq %%r12, %%rdi\n\t"
                     "xorl %%esi, %%esi\n\t"
                     "xorl %%edx, %%edx\n\t"
                     "xorl %%r10d, %%r10d\n\t"
                     "xorl %%r8d, %%r8d\n\t"
                     "syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "js 2f\n\t"
                     "jz 1f\n\t"
                     // The caller: away from the common stack.
                     "movq %%r13, %%rsp\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %%r15, %%rdi\n\t"
                     "call *%%r14\n\t"
                     "hlt\n"
                     // The child.
                     "1:\n\t"
                     "movl $56, %%eax\n\t"
                     "movq %%r12, %%rdi\n\t"
                     "xorl %%esi, %%esi\n\t"
                     "syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jz 2f\n\t"
                     "movl $60, %%eax\n\t"
                     "xorl %%edi, %%edi\n\t"
                     "syscall\n\t"
                     "hlt\n"
                     "2:"
                     : "=a"(result)
                     : "r"(own_flags), "r"(own_stack), "r"(own_body), "r"(own_argument)
                     : "rcx", "rdx", "rsi", "rdi", "r8", "r10", "r11", "memory", "cc");
    return result;
}
