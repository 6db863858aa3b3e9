/* Reading a mapped file that has shrunk: the kernel answers EFAULT where it reads by itself, and SIGBUS
 * where our own code does. This makes the latter an error as well.
 *
 *     if (mapguard_enter())
 *         ... what is to be done where the file has shrunk ...
 *     read from the map
 *     mapguard_leave();
 *
 * What reads in between is left at once: it must hold no lock then, and what it was writing to is of no more
 * use. Threads: any number, each by itself; it must not block SIGBUS.
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

/* Set the handler, once a process; another SIGBUS goes on to whoever had it before. */
void mapguard_install(void);

/* Nonzero where it is left because of SIGBUS. */
#define mapguard_enter() (sigsetjmp(mapguard.way_out, 0) ? mapguard.is_on = 0, 1 : (mapguard.is_on = 1, 0))
#define mapguard_leave() ((void)(mapguard.is_on = 0))

#endif
