// XXH3-64 at the speed of the widest vectors this CPU has. The library as packaged has only the
// portable choice of its build, which took a twelfth of a launch.
#pragma once
#include <stddef.h>
#include <stdint.h>

uint64_t bp_xxh3(const void *_Nullable bytes, size_t count);
