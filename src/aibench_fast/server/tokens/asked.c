#include "asked.h"

#include <yyjson.h>

#define MOST_TOKENS 10000000
#define DEPTH_MAX 8 /* of a prompt; a deeper one would have no meaning, and no room on the stack */

static int64_t words_of(yyjson_val *text)
{
    int64_t words = 0;
    bool is_inside = false;
    const char *c = yyjson_get_str(text);
    for (const char *end = c + yyjson_get_len(text); c < end; c++) {
        bool is_space = *c == ' ' || (*c >= '\t' && *c <= '\r');
        words += !is_space && !is_inside;
        is_inside = !is_space;
    }
    return words;
}

/* A text, a list of tokens, or a list of texts, of messages or of their parts. */
static int64_t tokens_of(yyjson_val *prompt, int depth)
{
    if (depth == DEPTH_MAX)
        return 0;
    if (yyjson_is_str(prompt))
        return words_of(prompt);
    if (yyjson_is_num(prompt))
        return 1;
    if (yyjson_is_obj(prompt)) {
        yyjson_val *content = yyjson_obj_get(prompt, "content");
        return tokens_of(content ? content : yyjson_obj_get(prompt, "text"), depth + 1);
    }
    int64_t tokens = 0;
    yyjson_arr_iter each = yyjson_arr_iter_with(prompt);
    for (yyjson_val *one; (one = yyjson_arr_iter_next(&each)) != NULL;)
        tokens += tokens_of(one, depth + 1);
    return tokens;
}

static int read_document(struct asked *asked, yyjson_val *root, const char *model, const char **why)
{
    yyjson_val *prompt = yyjson_obj_get(root, asked->is_chat ? "messages" : "prompt");
    if (prompt == NULL) {
        *why = asked->is_chat ? "messages is missing" : "prompt is missing";
        return 400;
    }
    if (!yyjson_equals_str(yyjson_obj_get(root, "model"), model)) {
        *why = "the model does not exist; /v1/models lists the one that does";
        return 404;
    }
    asked->prompt_tokens = tokens_of(prompt, 0);
    asked->is_stream = yyjson_is_true(yyjson_obj_get(root, "stream"));
    asked->wants_usage =
        yyjson_is_true(yyjson_obj_get(yyjson_obj_get(root, "stream_options"), "include_usage"));
    yyjson_val *most = yyjson_obj_get(root, "max_completion_tokens");
    if (most == NULL)
        most = yyjson_obj_get(root, "max_tokens");
    if (most != NULL && !yyjson_is_null(most))
        asked->output_tokens = yyjson_is_int(most) ? yyjson_get_sint(most) : 0;
    if (asked->output_tokens < 1 || asked->output_tokens > MOST_TOKENS) {
        *why = "max_tokens has to be a number from 1 to 10000000";
        return 400;
    }
    return 0;
}

int asked_read(struct asked *asked, char *body, size_t length, bool is_chat, const char *model,
               int64_t output_tokens, const char **why)
{
    *asked = (struct asked){.is_chat = is_chat, .output_tokens = output_tokens};
    yyjson_doc *document = yyjson_read_opts(body, length, YYJSON_READ_INSITU, NULL, NULL);
    if (document == NULL) {
        *why = "the body is not JSON";
        return 400;
    }
    int status = read_document(asked, yyjson_doc_get_root(document), model, why);
    yyjson_doc_free(document);
    return status;
}
