/* The cost of recording a latency from C.
 *
 * usage: recording COUNT FILE
 * FILE holds latencies as native 64-bit nanoseconds, which are recorded in turn.
 * Prints: nanoseconds_each
 */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "histogram.h"

#define LATENCIES_MAX 65536

int main(int argc, char **argv)
{
    static struct histogram histogram;
    static int64_t latencies_ns[LATENCIES_MAX];
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: recording COUNT FILE\n");
        return 1;
    }
    size_t values = fread(latencies_ns, sizeof *latencies_ns, LATENCIES_MAX, file);
    fclose(file);
    long count = atol(argv[1]);
    histogram_init(&histogram);
    int64_t start_ns = monotonic_ns();
    size_t value = 0;
    for (long i = 0; i < count; i++) {
        histogram_record(&histogram, latencies_ns[value]);
        value = value + 1 < values ? value + 1 : 0;
    }
    printf("%.4f\n", (double)(monotonic_ns() - start_ns) / (double)count);
    return 0;
}
