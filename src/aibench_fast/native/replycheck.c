#include "replycheck.h"

#include <stdarg.h>
#include <stdio.h>

/* Messages of servers may have any bytes, and are shown on terminals. */
static void make_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = ' ';
}

void replycheck_start(struct replycheck *check, char *output)
{
    check->done = 0;
    check->kind = FAILURE_NONE;
    check->output = output;
}

void replycheck_fail(struct replycheck *check, enum failure_kind kind, const char *format, ...)
{
    va_list arguments;
    if (check->kind != FAILURE_NONE)
        return;
    check->kind = kind;
    va_start(arguments, format);
    vsnprintf(check->message, ERRSTR_BYTES, format, arguments);
    va_end(arguments);
    make_one_line(check->message);
}
