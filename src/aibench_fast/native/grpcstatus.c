#include "grpcstatus.h"

#include <stdbool.h>

#define DIGITS_MAX 3

#define STATUS_NAME(number, name, kind) [number] = name,
#define STATUS_KIND(number, name, kind) [number] = kind,

const char *const grpcstatus_names[] = {[GRPC_OK] = "OK", GRPC_STATUS_LIST(STATUS_NAME)};

enum failure_kind grpcstatus_kind(int status)
{
    static const enum failure_kind kinds[GRPC_STATUSES] = {[GRPC_OK] = FAILURE_NONE, GRPC_STATUS_LIST(STATUS_KIND)};
    return status > GRPC_OK && status < GRPC_STATUSES ? kinds[status] : FAILURE_UNKNOWN;
}

int grpcstatus_read(const char *value, size_t bytes)
{
    int number = 0;
    for (size_t i = 0; i < bytes && i < DIGITS_MAX; i++) {
        if (value[i] < '0' || value[i] > '9')
            return GRPC_NO_STATUS;
        number = number * 10 + (value[i] - '0');
    }
    return bytes > 0 && bytes <= DIGITS_MAX ? number : GRPC_NO_STATUS;
}

static int hex_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                          : -1;
}

void grpcstatus_message(const char *value, size_t bytes, errstr_t text)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes && used < ERRSTR_BYTES - 1; i++) {
        bool may_be_encoded = value[i] == '%' && i + 2 < bytes;
        int high = may_be_encoded ? hex_digit(value[i + 1]) : -1, low = may_be_encoded ? hex_digit(value[i + 2]) : -1;
        bool is_encoded = high >= 0 && low >= 0;
        text[used++] = is_encoded ? (char)(high << 4 | low) : value[i];
        i += is_encoded ? 2 : 0;
    }
    text[used] = '\0';
}
