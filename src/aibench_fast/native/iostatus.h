/* The result of an attempt to send, receive, judge or shake hands. */
#ifndef AIBENCH_IOSTATUS_H
#define AIBENCH_IOSTATUS_H

enum io_status {
    IO_FAILED = -1, /* the connection is unusable; the check, or errstr, says why */
    IO_AGAIN = 0,   /* try again after an event on the socket */
    IO_DONE = 1
};

#endif
