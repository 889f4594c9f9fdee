// The registers of the call, x86-64: the one place of the library that knows the processor. Porting
// it means this function, struct bproc_local_registers and Sources/CRestore.
#define _GNU_SOURCE
#include "internal.h"

#include <stddef.h>

_Static_assert(offsetof(struct bproc_local_registers, r15) == 40, "the offsets below");
_Static_assert(offsetof(struct bproc_local_registers, rsp) == 48, "the offsets below");
_Static_assert(offsetof(struct bproc_local_registers, rip) == 56, "the offsets below");
_Static_assert(offsetof(struct bproc_local_registers, mxcsr) == 64, "the offsets below");
_Static_assert(offsetof(struct bproc_local_registers, x87_control) == 68, "the offsets below");

// What a function must keep for its caller (System V ABI, 3.2.1 and 3.2.3), and where this one
// returns to. 0 now; the restored process comes back here with 1.
__attribute__((naked, noinline, returns_twice)) int bplib_save_registers(
    __attribute__((unused)) struct bproc_local_registers *registers) {
    __asm__("movq %rbx, 0(%rdi)\n\t"
            "movq %rbp, 8(%rdi)\n\t"
            "movq %r12, 16(%rdi)\n\t"
            "movq %r13, 24(%rdi)\n\t"
            "movq %r14, 32(%rdi)\n\t"
            "movq %r15, 40(%rdi)\n\t"
            "leaq 8(%rsp), %rax\n\t"
            "movq %rax, 48(%rdi)\n\t"
            "movq (%rsp), %rax\n\t"
            "movq %rax, 56(%rdi)\n\t"
            "stmxcsr 64(%rdi)\n\t"
            "fnstcw 68(%rdi)\n\t"
            "xorl %eax, %eax\n\t"
            "ret");
}
