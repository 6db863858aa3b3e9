#include "keepalive.h"

#include "clock.h"

void keepalive_init(struct keepalive *k, bool closes_each)
{
    atomic_init(&k->replies, closes_each ? 1 : KEEPALIVE_UNKNOWN);
}

bool keepalive_may_explain(struct keepalive *k, uint32_t replies, int64_t after_ns)
{
    int64_t known = KEEPALIVE_UNKNOWN;
    if (after_ns > KEEPALIVE_RESET_MS * NS_PER_MS)
        return false;
    if (atomic_compare_exchange_strong(&k->replies, &known, -(int64_t)replies))
        return true;
    return known == replies || known == -(int64_t)replies;
}

void keepalive_probed(struct keepalive *k, uint32_t replies, bool closed)
{
    int64_t assumed = -(int64_t)replies;
    atomic_compare_exchange_strong(&k->replies, &assumed, closed ? replies : KEEPALIVE_UNLIMITED);
}
