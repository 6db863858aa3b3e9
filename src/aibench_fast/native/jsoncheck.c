#include "jsoncheck.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

_Static_assert(JSONCHECK_ROOM_BYTES >= YYJSON_PADDING_SIZE, "the parser reads behind a text");

int jsoncheck(char *text, size_t bytes, errstr_t errstr)
{
    yyjson_read_err error;
    memset(text + bytes, 0, YYJSON_PADDING_SIZE); /* else the text of before would go on */
    yyjson_doc *document = yyjson_read_opts(text, bytes, YYJSON_READ_INSITU, NULL, &error);
    if (document == NULL && bytes == 0)
        snprintf(errstr, ERRSTR_BYTES, "it is empty");
    else if (document == NULL)
        snprintf(errstr, ERRSTR_BYTES, "%s at byte %zu", error.msg, error.pos + 1);
    yyjson_doc_free(document);
    return document ? 0 : -1;
}
