// The words of the restore code, one definition for the stub that prints them and for the daemon
// that reports the same failures (CRestore.c hands them out).
#include "bp_cpu.h"
#include "bp_xxh3.h"

    .section bp_restore, "axR", @progbits

// What failed, in the order of enum bp_restore_step from 1 on. @ is the detail as an address, # in
// decimal, % the features that it names.
    .globl bp_text_steps
    .hidden bp_text_steps
bp_text_steps:
    .asciz "the restorer does not understand its arguments"
    .asciz "user, group or groups could not be set"
    .asciz "the image could not be read"
    .asciz "this is not the image that was announced"
    .asciz "the image is cut short: its header promises # bytes"
    .asciz "the restore code could not be mapped at @"
    .asciz "the file for descriptor # could not be opened"
    .asciz "the socket for descriptor # could not be connected"
    .asciz "descriptor # could not be freed"
    .asciz "the CPU lacks %"
    .asciz "the script could not be given as descriptor #"
    .asciz "a script needs /proc on the node to be opened as /proc/self/fd/#"
    .asciz "the address space could not be cleared"
    .asciz "the vDSO could not be put at @"
    .asciz "memory at @ could not be mapped"
    .asciz "memory at @ could not be mapped"
    .asciz "brk could not be set to @"
    .asciz "the thread pointer could not be set to @"
    .asciz "the action of signal # could not be set"
    .asciz "the nice value could not be set"
    .asciz "the image file could not be opened"
    .asciz "the image is damaged: header and tables do not fit their checksum"
    .asciz "the image is damaged: the data at byte # does not fit its checksum"
    .asciz "the image could not be mapped to check it"
    .asciz "the image has format version #, which its restore code does not know"
    .asciz "an image does not run with set-user-id, set-group-id or file capabilities"
    .asciz "the working directory could not be entered"
    .asciz "a resource limit could not be set"
    .asciz "a new session could not be started"
    .asciz "the standard descriptors could not be placed"
    .asciz "no process could be made"
    .asciz "the restorer could not be executed"
    .byte 0

// Error numbers that a restore meets, and their words; others are printed as numbers.
    .globl bp_text_errors
    .hidden bp_text_errors
bp_text_errors:
    .byte 1
    .asciz "operation not permitted"
    .byte 2
    .asciz "no such file or directory"
    .byte 5
    .asciz "input or output error"
    .byte 8
    .asciz "not a usable image"
    .byte 9
    .asciz "bad file descriptor"
    .byte 11
    .asciz "resource temporarily unavailable"
    .byte 12
    .asciz "out of memory"
    .byte 13
    .asciz "permission denied"
    .byte 17
    .asciz "something lies there already"
    .byte 22
    .asciz "invalid argument"
    .byte 23
    .asciz "too many open files in the system"
    .byte 24
    .asciz "too many open files"
    .byte 40
    .asciz "too many levels of symbolic links"
    .byte 0

    .globl bp_text_not_restored
    .hidden bp_text_not_restored
bp_text_not_restored:
    .asciz ": not restored: "
    .globl bp_text_error_number
    .hidden bp_text_error_number
bp_text_error_number:
    .asciz "error number "
    .globl bp_text_device
    .hidden bp_text_device
bp_text_device:
    .asciz "/dev/fd/"
    .globl bp_text_socket
    .hidden bp_text_socket
bp_text_socket:
    .asciz "BPROC_SOCKET="
    .globl bp_text_cpu_suits
    .hidden bp_text_cpu_suits
bp_text_cpu_suits:
    .asciz "BPROC_CPU=suits"

    .globl bp_text_own_file
    .hidden bp_text_own_file
bp_text_own_file:
    .asciz "/proc/self/exe"
    .globl bp_text_proc_fd
    .hidden bp_text_proc_fd
bp_text_proc_fd:
    .asciz "/proc/self/fd/"

    .globl bp_text_tmpfs
    .hidden bp_text_tmpfs
bp_text_tmpfs:
    .asciz "tmpfs"

// What the vDSO's functions do as system calls: the number, the name without "__vdso_".
    .globl bp_text_vdso_calls
    .hidden bp_text_vdso_calls
bp_text_vdso_calls:
    .short 228
    .asciz "clock_gettime"
    .short 229
    .asciz "clock_getres"
    .short 96
    .asciz "gettimeofday"
    .short 201
    .asciz "time"
    .short 309
    .asciz "getcpu"
    .short 0

    .globl bp_text_vdso_prefix
    .hidden bp_text_vdso_prefix
bp_text_vdso_prefix:
    .asciz "__vdso_"

// CPU features: 32 times the word plus the bit, and the name.
#define FEATURE(word, bit, name) .byte 32 * word + bit; .asciz name;
    .globl bp_text_features
    .hidden bp_text_features
bp_text_features:
    BP_FEATURES(FEATURE)
    .byte 255

    .balign 8
    .globl bp_checksum_secret
    .hidden bp_checksum_secret
bp_checksum_secret:
    .quad BP_XXH3_SECRET

    .section .note.GNU-stack, "", @progbits
