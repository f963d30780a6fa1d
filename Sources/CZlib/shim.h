#include <zlib.h>

/* inflateInit2 is a macro that the importer cannot see. 15 + 32: zlib or gzip by its header; -15: raw deflate. */
static inline int CZlib_inflateInit2(z_stream *stream, int windowBits) { return inflateInit2(stream, windowBits); }
