#include "lifeline.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "redismodule_api.h"

#define GRACE_S 10 /* for the server to stop by itself */

/* Not PR_SET_PDEATHSIG: that fires when the thread that started this process ends, and in a Python
 * program that need not be the program's end. */
static void *watch(void *pipe_end)
{
    char byte;
    ssize_t got;
    do
        got = read((int)(intptr_t)pipe_end, &byte, 1);
    while (got > 0 || (got < 0 && errno == EINTR));
    kill(getpid(), SIGTERM);
    sleep(GRACE_S);
    _exit(1);
}

int lifeline_watch(int pipe_end, Error *error)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&thread, NULL, watch, (void *)(intptr_t)pipe_end);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return error_set(error, "cannot start the thread that watches the parent");
    pthread_detach(thread);
    return REDISMODULE_OK;
}
