import FileCopy
import Glibc

// One end of a copy: bpcp places this program on nodes. It is no part of bpcp because its image
// travels before the first byte of a file does, and a command line brings ten megabytes.
guard let role = CopyRole() else {
    let sentence = "bpcp-node: bpcp starts this program, on nodes\n"
    _ = unsafe write(STDERR_FILENO, sentence, sentence.utf8.count)
    exit(64)
}
exit(role.run())
