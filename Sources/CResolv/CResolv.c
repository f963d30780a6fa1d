#include "CResolv.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

static const int fixed_bytes = 6; // priority, weight, port

int annex_srv_lookup(const char *name, struct annex_srv_record *out, size_t capacity) {
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) != 0) return -1;
    unsigned char answer[16384];
    int length = res_nsearch(&state, name, ns_c_in, ns_t_srv, answer, sizeof answer);
    int error = state.res_h_errno;
    res_nclose(&state);
    if (length < 0) return error == HOST_NOT_FOUND || error == NO_DATA ? 0 : -1;
    if (length > (int)sizeof answer) length = sizeof answer;

    ns_msg message;
    if (ns_initparse(answer, length, &message) != 0) return -1;
    int found = 0;
    for (int number = 0; number < ns_msg_count(message, ns_s_an); number++) {
        ns_rr record;
        if (ns_parserr(&message, ns_s_an, number, &record) != 0) return -1;
        if (ns_rr_type(record) != ns_t_srv || ns_rr_rdlen(record) <= fixed_bytes) continue;
        const unsigned char *data = ns_rr_rdata(record);
        struct annex_srv_record parsed;
        memset(&parsed, 0, sizeof parsed);
        parsed.priority = ns_get16(data);
        parsed.port = ns_get16(data + 4);
        if (dn_expand(answer, answer + length, data + fixed_bytes, parsed.host, sizeof parsed.host) < 0) return -1;
        size_t end = strlen(parsed.host);
        if (end > 0 && parsed.host[end - 1] == '.') parsed.host[end - 1] = 0;
        if ((size_t)found < capacity) out[found] = parsed;
        found++;
    }
    return found;
}
