/* Checks that a text is JSON, as RFC 8259 has it.
 *
 * Memory: the caller's; what is allocated meanwhile is freed. Units: bytes. Threads: any number, each with a text of its
 * own.
 */
#ifndef AIBENCH_JSONCHECK_H
#define AIBENCH_JSONCHECK_H

#include <stddef.h>

#include "errstr.h"

#define JSONCHECK_ROOM_BYTES 4 /* behind the text, to write to */

/* Return 0 if it is, else -1 with the reason in `errstr`. The text is overwritten. */
int jsoncheck(char *text, size_t bytes, errstr_t errstr);

#endif
