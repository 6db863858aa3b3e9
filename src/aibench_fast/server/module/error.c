#include "error.h"

#include <stdarg.h>
#include <stdio.h>

#include "redismodule_api.h"

int error_set(Error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    for (char *c = error->text; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return REDISMODULE_ERR;
}
