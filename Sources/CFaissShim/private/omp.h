/* FAISS's headers include <omp.h>, which the Swift toolchain does not have. These are the few names used, with the layout
 * of libgomp on 64-bit Linux (a lock is one int). */
#ifndef CFAISSSHIM_PRIVATE_OMP_H
#define CFAISSSHIM_PRIVATE_OMP_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    unsigned char bytes[4] __attribute__((aligned(4)));
} omp_lock_t;

void omp_set_num_threads(int count);
int omp_get_max_threads(void);

#ifdef __cplusplus
}
#endif

#endif
