// BP_DATA_FILE is given on the command line.
    .data
    .globl bp_data
    .globl bp_data_end
    .balign 4096
bp_data:
    .incbin BP_DATA_FILE
bp_data_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
