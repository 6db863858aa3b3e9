#include "rdb.h"

#include <string.h>

void rdb_save_text(RedisModuleIO *rdb, const char *text)
{
    RedisModule_SaveStringBuffer(rdb, text, strlen(text) + 1);
}

char *rdb_load_text(RedisModuleIO *rdb)
{
    size_t bytes;
    char *text = RedisModule_LoadStringBuffer(rdb, &bytes);
    if (text && (bytes == 0 || text[bytes - 1] != '\0')) {
        RedisModule_Free(text);
        return NULL;
    }
    return text;
}

Blob rdb_load_blob(RedisModuleIO *rdb)
{
    Blob blob = {0};
    blob.data = RedisModule_LoadStringBuffer(rdb, &blob.bytes);
    return blob;
}
