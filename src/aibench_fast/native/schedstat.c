#include "schedstat.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int schedstat_open(void)
{
    return open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

int64_t schedstat_wait_ns(int fd)
{
    char text[96]; /* time on a CPU, time waited, number of turns */
    long long on_cpu_ns, waited_ns;
    ssize_t got = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
    if (got <= 0)
        return -1;
    text[got] = '\0';
    return sscanf(text, "%lld %lld", &on_cpu_ns, &waited_ns) == 2 ? waited_ns : -1;
}
