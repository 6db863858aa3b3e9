/* Ties the server's life to its parent's. */
#ifndef AIBENCH_LIFELINE_H
#define AIBENCH_LIFELINE_H

#include "error.h"

/* Watches the read end of a pipe whose write end the parent alone holds, and stops this process when
 * that end closes, which the kernel does however the parent dies. Main thread, once. */
int lifeline_watch(int pipe_end, Error *error);

#endif
