// The C library's allocator: the Glibc module leaves this header out.
#pragma once
#include <malloc.h>
