/* The few names used, declared here: Debian puts cblas.h in a folder of the architecture, which the Swift toolchain does
 * not search. */
void openblas_set_num_threads(int count);
void cblas_sgemm(
    const int order, const int transposeA, const int transposeB, const int m, const int n, const int k,
    const float alpha, const float *a, const int lda, const float *b, const int ldb, const float beta, float *c,
    const int ldc);
