#include "cluster.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runstate.h"

/* The target of a MOVED or ASK. */
struct redirect {
    bool asks;
    char host[NODE_HOST_BYTES]; /* empty: the host of the node that redirects */
    int port;
};

/* Read `MOVED 3999 127.0.0.1:6381`, or ASK; return false for anything else. */
static bool read_redirect(const char *message, struct redirect *redirect)
{
    char word[6], address[ERRSTR_BYTES];
    unsigned slot;
    if (sscanf(message, "%5s %u %255s", word, &slot, address) != 3)
        return false;
    redirect->asks = strcmp(word, "ASK") == 0;
    char *colon = strrchr(address, ':'); /* the last one: an IPv6 address has more */
    if ((!redirect->asks && strcmp(word, "MOVED") != 0) || colon == NULL)
        return false;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port == 0 || port > UINT16_MAX)
        return false;
    redirect->port = (int)port;
    *colon = '\0';
    return snprintf(redirect->host, sizeof redirect->host, "%s", address) < NODE_HOST_BYTES;
}

static bool is_numeric(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* Let the worker connect there next; return false for a host name whose address is unknown. */
static bool go_to(const struct cluster *cluster, struct worker *w, const struct redirect *to)
{
    if (to->host[0] == '\0') {
        w->node.port = to->port;
        return true;
    }
    for (uint32_t i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].endpoint.port == to->port && strcmp(cluster->nodes[i].name, to->host) == 0) {
            w->node = cluster->nodes[i].endpoint;
            return true;
        }
    if (!is_numeric(to->host))
        return false;
    memcpy(w->node_host, to->host, sizeof w->node_host);
    w->node.host = w->node_host;
    w->node.port = to->port;
    return true;
}

/* Switch the worker's requests to these kinds, those outstanding included. */
static void speak(struct worker *w, const struct request_kind *kinds, uint32_t pipeline)
{
    for (uint32_t i = 0; i < w->outstanding; i++) {
        struct request *request = &w->requests[(w->oldest + i) % pipeline];
        request->kind = kinds + (request->kind - w->kinds);
    }
    w->kinds = kinds;
}

static void fail(struct worker *w, const char *why)
{
    errstr_t last;
    memcpy(last, w->check.message, sizeof last);
    w->check.kind = FAILURE_NONE;
    replycheck_fail(&w->check, FAILURE_REDIRECTED, "%s: %s", why, last);
}

bool cluster_redirected(struct iothread *t, struct worker *w)
{
    const struct loadgen_config *config = &t->run->config;
    struct redirect to;
    if (config->cluster == NULL || w->check.kind != FAILURE_ERROR_REPLY ||
        !read_redirect(w->check.message, &to))
        return false;
    if (w->redirected_request != oldest(w)->arrival.number)
        w->redirects = 0;
    w->redirected_request = oldest(w)->arrival.number;
    if (w->redirects++ == REDIRECTS_MAX) {
        fail(w, "redirected too often, last by");
        return false;
    }
    if (!go_to(config->cluster, w, &to)) {
        fail(w, "redirected to a host name that is not of a known node");
        return false;
    }
    counter_bump(to.asks ? &t->counted.counters.asked : &t->counted.counters.moved);
    w->asks_around = false;
    connection_close(&w->connection);
    speak(w, to.asks ? config->cluster->asking_kinds : config->kinds, config->pipeline);
    return true;
}

void cluster_ask_another(struct iothread *t, struct worker *w)
{
    const struct loadgen_config *config = &t->run->config;
    w->node = config->cluster->nodes[(w->index + w->attempts) % config->cluster->node_count].endpoint;
    w->asks_around = true;
    w->redirects = 0;
    speak(w, config->kinds, config->pipeline);
}
