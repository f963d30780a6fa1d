/* What a C program does with hiredis: plain commands, binary arguments, errors, a pipeline.
 * usage: hiredis_client PORT INDEX USER ITEM DIMENSION. Prints one line per check; exits 1 at the first that fails. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int good, const char *what) {
    printf("%s %s\n", good ? "ok" : "FAILED", what);
    if (!good) exit(1);
}

int main(int argc, char **argv) {
    if (argc != 6) return 64;
    const char *index = argv[2], *user = argv[3], *item = argv[4];
    int dimension = atoi(argv[5]);
    struct timeval limit = {10, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", atoi(argv[1]), limit);
    check(c != NULL && c->err == 0, "connect");
    redisSetTimeout(c, limit);

    redisReply *r = redisCommand(c, "PING");
    check(r && r->type == REDIS_REPLY_STATUS && strcmp(r->str, "PONG") == 0, "PING");
    freeReplyObject(r);

    r = redisCommand(c, "TOPK %s 10 INDEX %s WITHSCORES", user, index);
    check(r && r->type == REDIS_REPLY_ARRAY && r->elements == 20, "TOPK WITHSCORES is flat in RESP2");
    for (size_t i = 3; i < r->elements; i += 2)
        check(atof(r->element[i - 2]->str) >= atof(r->element[i]->str), "scores fall");
    freeReplyObject(r);

    float *query = calloc((size_t)dimension, sizeof(float));
    query[0] = 1.0f;
    r = redisCommand(c, "VSIM %s FP32 %b COUNT 5", index, query, sizeof(float) * (size_t)dimension);
    check(r && r->type == REDIS_REPLY_ARRAY && r->elements == 5, "VSIM by a binary vector");
    freeReplyObject(r);
    r = redisCommand(c, "VSIM %s FP32 %b COUNT 5", index, query, sizeof(float) * (size_t)dimension - 1);
    check(r && r->type == REDIS_REPLY_ERROR && strncmp(r->str, "BADVECTOR ", 10) == 0, "a cut vector is BADVECTOR");
    freeReplyObject(r);
    free(query);

    r = redisCommand(c, "VEMB %s %s", index, item);
    check(r && r->type == REDIS_REPLY_ARRAY && r->elements == (size_t)dimension, "VEMB");
    freeReplyObject(r);
    r = redisCommand(c, "TOPK %s 10 INDEX %s", "nobody at all", index);
    check(r && r->type == REDIS_REPLY_ERROR && strncmp(r->str, "NOUSER ", 7) == 0, "NOUSER");
    freeReplyObject(r);

    for (int i = 0; i < 2000; i++) redisAppendCommand(c, "ECHO %d", i);
    for (int i = 0; i < 2000; i++) {
        void *reply = NULL;
        if (redisGetReply(c, &reply) != REDIS_OK || !reply) check(0, "pipeline");
        r = reply;
        if (r->type != REDIS_REPLY_STRING || atoi(r->str) != i) check(0, "pipeline in order");
        freeReplyObject(r);
    }
    check(1, "2000 pipelined commands in order");
    redisFree(c);
    return 0;
}
