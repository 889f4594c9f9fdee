// Descriptors and errors. Every bp_ call answers a result, or a negated errno: errno itself does
// not cross the module border.
#pragma once
#include <stddef.h>
#include <stdint.h>

const char *_Nullable bp_strerror(int error_number);
long bp_close(int fd);
long bp_dup_cloexec(int fd);
