/* Strings in a saved database, beside the numbers that the server's interface reads and writes. */
#ifndef AIBENCH_RDB_H
#define AIBENCH_RDB_H

#include "blob.h"

void rdb_save_text(RedisModuleIO *rdb, const char *text);

/* The text, to be freed with RedisModule_Free; NULL where it cannot be read. */
char *rdb_load_text(RedisModuleIO *rdb);

/* The bytes, ours; with data NULL where they cannot be read. */
Blob rdb_load_blob(RedisModuleIO *rdb);

#endif
