/* The target for messages of gRPC. An input's first byte says what was asked; the rest is the message. */
#include "response.h"

#include <stdlib.h>
#include <string.h>

#include "oipmessage.h"

const char *const fuzz_words[] = {
    "\x2a", "\x32", "\x0a\x01y", "\x0a\x01z", "\x12\x04" "FP32", "\x12\x04" "INT8", "\x12\x05" "BYTES",
    "\x1a\x02\x02\x02", "\x18\x02", "\x1a\x01\x03", "\x2a\x80", "\x32\xff\xff\xff\xff\x0f",
    "\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x30\x01", "\x28\x01", "\x3b\x3c", "\xfa\x3e\x01q",
    "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x32\x01!", "\x2a\x05\x12\x03\xff\xff\x0f", "\x42\x01q", NULL,
};

/* Judge a copy that ends where the message does. */
static void judge(const struct request_kind *kind, const char *message, size_t bytes, char *output,
                  struct replycheck *check)
{
    char *copy = malloc(bytes);
    FUZZ_CHECK(copy != NULL || bytes == 0, "out of memory");
    if (bytes > 0)
        memcpy(copy, message, bytes);
    *check = (struct replycheck){.expected = kind};
    replycheck_start(check, output);
    oipmessage_judge(check, copy, bytes);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t count)
{
    struct replycheck check, again;
    if (count < 1)
        return 0;
    const struct request_kind *kind = &response_kinds[input[0] % RESPONSE_KINDS];
    const char *message = (const char *)input + 1;
    char *output = malloc(kind->output_bytes_max);
    judge(kind, message, count - 1, output, &check);
    judge(kind, message, count - 1, NULL, &again);
    FUZZ_CHECK(check.kind == again.kind, "with somewhere to copy to, it is judged differently");
    if (check.kind == FAILURE_NONE) {
        fuzz_successes++;
        response_check(kind, &check, message, count - 1, output);
    } else {
        fuzz_failures++;
        FUZZ_CHECK(strcmp(check.message, again.message) == 0, "the same message fails for another reason");
    }
    free(output);
    return 0;
}

void fuzz_generate(struct fuzz_text *input, uint64_t *state)
{
    uint8_t kind = (uint8_t)fuzz_below(state, RESPONSE_KINDS);
    fuzz_add(input, &kind, 1);
    response_add(input, &response_kinds[kind], state);
}
