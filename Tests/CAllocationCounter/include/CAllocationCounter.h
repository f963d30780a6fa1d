/* Counts the allocations of the calling thread: this target's malloc, calloc, realloc and memalign stand before libc's in
 * the program that links it. For tests only. */
#ifndef CALLOCATIONCOUNTER_H
#define CALLOCATIONCOUNTER_H

long CAllocationCounter_count(void);

#endif
