#include <stdint.h>

/* zlib's, as zlib.h declares it: apart from CZlib, so that each C module keeps one importer. */
unsigned long crc32(unsigned long crc, const unsigned char *bytes, unsigned int count);

/* CRC-32 of bytes behind those that gave `crc` (0: none). */
static inline uint32_t CChecksum_crc32(uint32_t crc, const void *bytes, uint32_t count) {
    return (uint32_t)crc32(crc, (const unsigned char *)bytes, count);
}
