/* Tensors to JSON text and back: 0 where all are what they were. */
#ifndef AIBENCH_ROUND_TRIP_H
#define AIBENCH_ROUND_TRIP_H

int round_trip(void);

#endif
