/* How an attempt to send, receive, judge or shake hands went. */
#ifndef AIBENCH_IOSTATUS_H
#define AIBENCH_IOSTATUS_H

enum io_status {
    IO_FAILED = -1, /* the connection is of no more use; the check, or errstr, says why */
    IO_AGAIN = 0,   /* the socket has to be waited for */
    IO_DONE = 1
};

#endif
