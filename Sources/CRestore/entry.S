// Where the restore code is entered and left. Offsets inside the section stay the same wherever it
// is copied; it is always copied to the start of a page, so an aligned block of 64 bytes never
// crosses one.
    .section bp_restore, "axR", @progbits

    .balign 64
// The last instructions: rdi frame, rsi low address, rdx low count, rcx high address, r8 high
// count. The stack is the program's own from the first line on; the scratch stack goes with the
// second call.
    .globl bp_leave
    .hidden bp_leave
    .type bp_leave, @function
bp_leave:
    leaq 8(%rdi), %rsp
    movq %rcx, %r12
    movq %rsi, %rdi
    movq %rdx, %rsi
    movl $11, %eax              // munmap
    syscall
    movq %r12, %rdi
    movq %r8, %rsi
    movl $11, %eax
    syscall
    movl $15, %eax              // rt_sigreturn
    syscall
    hlt
    .size bp_leave, . - bp_leave

    .balign 64
// The image run as a program. The base address and the end of the scratch memory stand in the
// header, one page below the section's first byte.
    .globl bp_entry_direct
    .hidden bp_entry_direct
    .type bp_entry_direct, @function
bp_entry_direct:
    movq %rsp, %rsi
    movq bp_entry_base(%rip), %rdi
    movq bp_entry_scratch(%rip), %rdx
    movq bp_entry_stack(%rip), %rsp
    xorl %ebp, %ebp
    call bp_stub_direct
    hlt

    .balign 64
// The image entered by the restorer, which has filled the arguments at the start of the scratch
// memory.
    .globl bp_entry_stub
    .hidden bp_entry_stub
    .type bp_entry_stub, @function
bp_entry_stub:
    movq bp_entry_base(%rip), %rdi
    movq bp_entry_scratch(%rip), %rsi
    movq bp_entry_stack(%rip), %rsp
    xorl %ebp, %ebp
    call bp_stub_main
    hlt

    .balign 64
// The restorer's own file.
    .globl bp_entry_restorer
    .hidden bp_entry_restorer
    .type bp_entry_restorer, @function
bp_entry_restorer:
    movq %rsp, %rdi
    xorl %ebp, %ebp
    andq $-16, %rsp
    call bp_restorer_main
    hlt

// Filled in by the writer of an image (three numbers of that image).
    .balign 8
    .globl bp_entry_base
    .hidden bp_entry_base
bp_entry_base:
    .quad 0
    .globl bp_entry_scratch
    .hidden bp_entry_scratch
bp_entry_scratch:
    .quad 0
    .globl bp_entry_stack
    .hidden bp_entry_stack
bp_entry_stack:
    .quad 0

    .section .note.GNU-stack, "", @progbits
