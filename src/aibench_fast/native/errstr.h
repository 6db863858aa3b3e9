/* Room for one line of text that says what went wrong; the caller owns it. */
#ifndef AIBENCH_ERRSTR_H
#define AIBENCH_ERRSTR_H

#define ERRSTR_BYTES 256

typedef char errstr_t[ERRSTR_BYTES];

#endif
