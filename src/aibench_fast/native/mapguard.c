#include "mapguard.h"

#include <pthread.h>
#include <stddef.h>

_Thread_local struct mapguard mapguard;

static struct sigaction before;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (mapguard.is_on)
        siglongjmp(mapguard.way_out, 1);
    sigaction(number, &before, NULL); /* the instruction runs again, and raises it again */
}

static void install(void)
{
    /* SA_NODEFER: the jump out of the handler would not unblock the signal. */
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGBUS, &action, &before);
}

void mapguard_install(void)
{
    pthread_once(&once, install);
}
