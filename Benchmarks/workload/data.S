// Initialised, writable data: it is part of the process image and of no file a node could have.
    .section .data
    .balign 4096
    .globl workloadData
workloadData:
    .incbin WORKLOAD_DATA_FILE
    .balign 4096
    .section .note.GNU-stack,"",@progbits
