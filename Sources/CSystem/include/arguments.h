// The command line, also where there is no /proc: the Swift runtime knows it only from there.
#pragma once

// The argument at an index, 0 being the program's own name; NULL behind the last.
const char *_Nullable bp_program_argument(int index);
