/* The target for RESP. An input's first byte says what was asked, its second how the bytes are cut and whether the
 * peer then ends; the rest are the replies. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "../../../src/aibench_fast/native/resp.c" /* so that the plan that is judged by can be looked at */

#define OUTPUT_BYTES 64
#define HEAD_BYTES 2

const char *const fuzz_words[] = {
    "\r\n", "+OK\r\n", "-ERR no\r\n", "+NA\r\n", "+TIMEDOUT\r\n", "$-1\r\n", "$0\r\n\r\n", "*0\r\n", "*-1\r\n", "*1\r\n",
    "*3\r\n", ":1\r\n", ":-9223372036854775808\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", ",inf\r\n", "%1\r\n", "~3\r\n",
    ">3\r\n", "|1\r\n", "(1234567890\r\n", "=7\r\ntxt:abc\r\n", "$4294967296\r\n", "$9223372036854775807\r\n",
    "*2147483648\r\n", "$64\r\n", "\0", NULL,
};

#define STATUS {.type = REPLY_STATUS}
#define BULK(size) {.type = REPLY_BULK, .bytes = size}

static const struct request_kind asked[] = {
    {.plan = {.count = 3, .expected = {STATUS, STATUS, BULK(OUTPUT_BYTES)}},
     .output_bytes = OUTPUT_BYTES, .output_bytes_max = OUTPUT_BYTES, .text_bytes = RESP_TEXT_BYTES},
    {.plan = {.count = 3, .in_array = 3,
              .expected = {STATUS, STATUS, BULK(OUTPUT_BYTES)}},
     .output_bytes = OUTPUT_BYTES, .output_bytes_max = OUTPUT_BYTES, .text_bytes = RESP_TEXT_BYTES},
    {.plan = {.count = 1, .expected = {STATUS}}, .text_bytes = RESP_TEXT_BYTES},
    {.plan = {.count = 2, .in_array = 2, .expected = {BULK(OUTPUT_BYTES / 2), STATUS}},
     .output_bytes = OUTPUT_BYTES / 2, .output_bytes_max = OUTPUT_BYTES / 2, .text_bytes = RESP_TEXT_BYTES},
    {.plan = {.count = 3, .in_array = 2,
              .expected = {STATUS, STATUS, BULK(OUTPUT_BYTES)}},
     .output_bytes = OUTPUT_BYTES, .output_bytes_max = OUTPUT_BYTES, .text_bytes = RESP_TEXT_BYTES},
};
#define KINDS (sizeof asked / sizeof *asked)

/* Replies have one spelling, but for the bytes of an output; and hiredis takes any two behind it: `came`, where
 * not NULL, has them. */
static void write_replies(struct fuzz_text *text, const struct reply_plan *plan, const char *output,
                          const char *came)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->in_array > 0 && i == plan->count - plan->in_array)
            fuzz_print(text, "*%zu\r\n", plan->in_array);
        if (plan->expected[i].type == REPLY_STATUS) {
            fuzz_print(text, "+OK\r\n");
        } else {
            fuzz_print(text, "$%zu\r\n", plan->expected[i].bytes);
            fuzz_add(text, output, plan->expected[i].bytes);
            fuzz_add(text, came ? came + text->count : "\r\n", 2);
        }
    }
}

static void on_success(const struct fuzz_case *given, const void *reader, const char *bytes, size_t count,
                       const char *output)
{
    char wanted[512], nothing[OUTPUT_BYTES] = {0};
    const struct reply_plan *plan = given->kind ? &given->kind->plan : &greeting_plan;
    struct fuzz_text text = {wanted, sizeof wanted, 0};
    (void)reader;
    write_replies(&text, plan, nothing, NULL);
    FUZZ_CHECK(count == text.count, "a success of other replies than were asked for");
    if (output == NULL)
        return;
    text.count = 0;
    write_replies(&text, plan, output, bytes);
    FUZZ_CHECK(memcmp(bytes, wanted, count) == 0, "a success whose output or words are not what came");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count < HEAD_BYTES)
        return 0;
    const struct request_kind *kind = bytes[0] % (KINDS + 1) < KINDS ? &asked[bytes[0] % (KINDS + 1)] : NULL;
    const struct fuzz_case given = {
        .protocol = &resp_protocol,
        .kind = kind,
        .copies_output = kind != NULL && kind->output_bytes > 0 && bytes[0] & 0x80,
        .peer_ends = bytes[1] & 1,
        .cuts_seed = bytes[1],
        .on_success = on_success,
    };
    fuzz_judge(&given, (const char *)bytes + HEAD_BYTES, count - HEAD_BYTES);
    return 0;
}

void fuzz_generate(struct fuzz_text *input, uint64_t *state)
{
    static const char aggregates[] = "*~>%|";
    char output[OUTPUT_BYTES];
    uint8_t head[HEAD_BYTES] = {(uint8_t)fuzz_below(state, 256), (uint8_t)fuzz_below(state, 256)};
    size_t kind = head[0] % (KINDS + 1);
    fuzz_add(input, head, sizeof head);
    for (size_t i = 0; i < sizeof output; i++)
        output[i] = (char)fuzz_below(state, 256);
    for (uint64_t requests = fuzz_below(state, 4); requests > 0; requests--) {
        const char *word = fuzz_words[fuzz_below(state, sizeof fuzz_words / sizeof *fuzz_words - 1)];
        if (fuzz_below(state, 8) == 0)
            fuzz_add(input, word, strlen(word));
        size_t from = input->count;
        write_replies(input, kind < KINDS ? &asked[kind].plan : &greeting_plan, output, NULL);
        if (input->bytes[from] == '*' && fuzz_below(state, 4) == 0)
            input->bytes[from] = aggregates[fuzz_below(state, sizeof aggregates - 1)];
    }
}
