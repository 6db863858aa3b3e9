/* Turns SIGBUS into an error. A mapped file that has shrunk gives EFAULT when the kernel reads it in a system call, but
 * SIGBUS when our own code reads it.
 *
 *     if (mapguard_enter())
 *         ... the file has shrunk ...
 *     read from the map
 *     mapguard_leave();
 *
 * SIGBUS jumps out of the code in between: it must hold no lock, and what it was writing is unusable.
 * Memory: nothing is allocated. Threads: any number; each must leave SIGBUS unblocked.
 */
#ifndef AIBENCH_MAPGUARD_H
#define AIBENCH_MAPGUARD_H

#include <setjmp.h>
#include <signal.h>

struct mapguard {
    sigjmp_buf way_out;
    volatile sig_atomic_t is_on;
};

extern _Thread_local struct mapguard mapguard;

/* Set the handler, once in a process. Any other SIGBUS goes to the handler that was there before. */
void mapguard_install(void);

/* Nonzero after a jump because of SIGBUS. */
#define mapguard_enter() (sigsetjmp(mapguard.way_out, 0) ? mapguard.is_on = 0, 1 : (mapguard.is_on = 1, 0))
#define mapguard_leave() ((void)(mapguard.is_on = 0))

#endif
