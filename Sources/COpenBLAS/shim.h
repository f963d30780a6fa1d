/* The few names used, declared here: Debian puts cblas.h in a folder of the architecture, which the Swift toolchain does
 * not search. */
void openblas_set_num_threads(int count);
void cblas_sgemm(
    const int order, const int transposeA, const int transposeB, const int m, const int n, const int k,
    const float alpha, const float *a, const int lda, const float *b, const int ldb, const float beta, float *c,
    const int ldc);
void cblas_dsyrk(
    const int order, const int triangle, const int transpose, const int n, const int k, const double alpha,
    const double *a, const int lda, const double beta, double *c, const int ldc);
/* LAPACK, by Fortran's rules: all by reference, matrices by columns. */
void dpotrf_(const char *triangle, const int *n, double *a, const int *lda, int *info);
void dpotrs_(
    const char *triangle, const int *n, const int *columns, const double *a, const int *lda, double *b, const int *ldb,
    int *info);
