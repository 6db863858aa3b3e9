/* Makes inputs from a seed where there is no libFuzzer, or judges those of files.
 *
 * usage: PROGRAM fuzz SECONDS SEED FOLDER   an input that is not judged as it should be goes to FOLDER
 *        PROGRAM replay FILE...
 * Prints: inputs successes failures
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "fuzz.h"
#include "splitmix.h"

#define STUCK_S 20 /* what an input may take; most take microseconds */
#define INPUTS_A_CLOCK 256
#define CHANGES_MAX 6

static char input[FUZZ_INPUT_BYTES_MAX];
static size_t input_bytes;
static uint64_t inputs;
static const char *folder;

/* So that what a sanitizer finds ends as a failed check does. */
const char *__asan_default_options(void)
{
    return "abort_on_error=1";
}

const char *__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}

static void keep_input(void)
{
    char path[4096];
    uint64_t name = splitmix_at(inputs, input_bytes);
    for (size_t i = 0; i < input_bytes; i++)
        name = splitmix_at(name, (unsigned char)input[i]);
    if (folder == NULL)
        return;
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/%016" PRIx64, folder, name);
    FILE *file = fopen(path, "wb");
    if (file != NULL && fwrite(input, 1, input_bytes, file) == input_bytes && fclose(file) == 0)
        fprintf(stderr, "the input is kept in %s\n", path);
}

static void on_signal(int number)
{
    if (number == SIGALRM)
        fprintf(stderr, "an input takes more than %d s\n", STUCK_S);
    keep_input();
    _exit(1);
}

static void change(uint64_t *state)
{
    size_t at = input_bytes ? fuzz_below(state, input_bytes) : 0;
    size_t rest = input_bytes - at;
    size_t some = rest ? 1 + fuzz_below(state, rest < 32 ? rest : 32) : 0;
    size_t words = 0;
    struct fuzz_text tail = {input, sizeof input, at};
    switch (fuzz_below(state, 6)) {
    case 0:
        if (rest)
            input[at] = (char)(input[at] ^ (1 << fuzz_below(state, 8)));
        break;
    case 1:
        if (rest)
            input[at] = (char)fuzz_below(state, 256);
        break;
    case 2: /* taken out */
        memmove(input + at, input + at + some, rest - some);
        input_bytes -= some;
        break;
    case 3: /* doubled */
        if (input_bytes + some <= sizeof input) {
            memmove(input + at + some, input + at, rest);
            input_bytes += some;
        }
        break;
    case 4: /* cut off */
        input_bytes = at;
        break;
    default: /* a word instead of what stands there */
        while (fuzz_words[words] != NULL)
            words++;
        const char *word = fuzz_words[fuzz_below(state, words)];
        fuzz_add(&tail, word, strlen(word));
        input_bytes = tail.count > input_bytes ? tail.count : input_bytes;
    }
}

static void make_input(uint64_t seed)
{
    uint64_t state = seed;
    struct fuzz_text made = {input, sizeof input, 0};
    fuzz_generate(&made, &state);
    input_bytes = made.count;
    for (uint64_t changes = fuzz_below(&state, CHANGES_MAX + 1); changes > 0; changes--)
        if (fuzz_below(&state, 2))
            change(&state);
}

static void fuzz(double seconds, uint64_t seed)
{
    int64_t until_ns = monotonic_ns() + (int64_t)(seconds * NS_PER_S);
    while (inputs % INPUTS_A_CLOCK != 0 || monotonic_ns() < until_ns) {
        if (inputs % INPUTS_A_CLOCK == 0)
            alarm(STUCK_S);
        make_input(splitmix_at(seed, inputs++));
        LLVMFuzzerTestOneInput((const uint8_t *)input, input_bytes);
    }
}

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    input_bytes = fread(input, 1, sizeof input, file);
    fclose(file);
    alarm(STUCK_S);
    inputs++;
    LLVMFuzzerTestOneInput((const uint8_t *)input, input_bytes);
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGALRM, on_signal);
    signal(SIGABRT, on_signal);
    if (argc == 5 && strcmp(argv[1], "fuzz") == 0) {
        folder = argv[4];
        fuzz(atof(argv[2]), strtoull(argv[3], NULL, 10));
    } else if (argc > 2 && strcmp(argv[1], "replay") == 0) {
        for (int i = 2; i < argc; i++)
            if (replay(argv[i]) < 0)
                return 2;
    } else {
        fprintf(stderr, "usage: %s fuzz SECONDS SEED FOLDER | replay FILE...\n", argv[0]);
        return 2;
    }
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", inputs, fuzz_successes, fuzz_failures);
    return 0;
}
