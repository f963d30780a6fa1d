// Asks the system's resolver for service records of the DNS (RFC 2782).
#ifndef CRESOLV_H
#define CRESOLV_H

#include <stddef.h>
#include <stdint.h>

struct annex_srv_record {
    uint16_t priority;
    uint16_t port;
    // The name has no dot at its end.
    char host[256];
};

// Writes at most `capacity` records of `name` to `out`. It blocks for as long as the resolver's configuration says.
// Returns how many the answer had (which may be more), 0 where the name has none or does not exist, -1 where the
// resolver did not answer.
int annex_srv_lookup(const char *name, struct annex_srv_record *out, size_t capacity);

#endif
