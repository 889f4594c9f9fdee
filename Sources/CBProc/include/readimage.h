// Reading an image; not a part of the library's interface, and not installed.
#ifndef BPLIB_READIMAGE_H
#define BPLIB_READIMAGE_H

#include <stddef.h>

// Bytes of an image's name, with the zero behind it.
enum { BPLIB_IMAGE_NAME = 17 };

// Reads one image, and checks all of it. What comes behind it in the stream stays there.
//
// A file that can be executed and that nobody can change any more, closed on exec, and the
// image's name; or -1 with errno and the reason.
int bplib_read_image(int fd, char *name, size_t name_capacity);

#endif
