// An app for WASI 0.2 in C.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"

#define PLAIN "text/plain; charset=utf-8"

// Sends the body back as it comes.
static void echo(exchange *x) {
    char *type = field(x, "content-type");
    begin(x, 200, &(pair){"content-type", type ? type : "application/octet-stream"}, 1);
    free(type);
    static char piece[64 * 1024];
    ssize_t size;
    while ((size = read_body(x, piece, sizeof piece)) > 0)
        if (!write_body(x, piece, size)) return;
    if (size == 0) end(x);
}

static void headers(exchange *x) {
    char *question = field(x, "x-question");
    pair fields[] = {{"x-answer", question ? question : ""}, {"set-cookie", "a=1"}, {"set-cookie", "b=2"}};
    begin(x, 200, fields, 3);
    end(x);
    free(question);
}

static int digit(char c) {
    const char *digits = "0123456789abcdef";
    const char *found = c ? strchr(digits, c | 0x20) : NULL;
    return found ? found - digits : -1;
}

// Decodes a value of a query, up to its end.
static void decode(char *to, size_t size, const char *from) {
    char *last = to + size - 1;
    for (; *from && *from != '&' && to < last; from++) {
        if (*from == '%' && digit(from[1]) >= 0 && digit(from[2]) >= 0) {
            *to++ = digit(from[1]) << 4 | digit(from[2]);
            from += 2;
        } else {
            *to++ = *from == '+' ? ' ' : *from;
        }
    }
    *to = 0;
}

static void greet(exchange *x) {
    char name[256] = "world", text[300];
    for (const char *at = query(x); at; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, "name=", 5) == 0) {
            decode(name, sizeof name, at + 5);
            break;
        }
    }
    snprintf(text, sizeof text, "Hello, %s!\n", name);
    respond(x, 200, PLAIN, text);
}

// Skips space and then `text`.
static bool skip(const char **at, const char *text) {
    *at += strspn(*at, " \t\r\n");
    size_t length = strlen(text);
    bool found = strncmp(*at, text, length) == 0;
    if (found) *at += length;
    return found;
}

// Sums up {"numbers": [1, 2]}; for JSON of any other shape take a library, such as cJSON.
static bool sum(const char *at, long long *total) {
    if (!skip(&at, "{") || !skip(&at, "\"numbers\"") || !skip(&at, ":") || !skip(&at, "[")) return false;
    *total = 0;
    for (bool more = !skip(&at, "]"); more;) {
        char *end;
        *total += strtoll(at, &end, 10);
        if (end == at) return false;
        at = end;
        more = skip(&at, ",");
        if (!more && !skip(&at, "]")) return false;
    }
    return skip(&at, "}") && *(at + strspn(at, " \t\r\n")) == 0;
}

static void json(exchange *x) {
    char body[16 * 1024], answer[64];
    size_t size = 0;
    ssize_t read;
    while (size < sizeof body - 1 && (read = read_body(x, body + size, sizeof body - 1 - size)) > 0) size += read;
    body[size] = 0;
    long long total;
    if (!sum(body, &total)) {
        respond(x, 400, PLAIN, "numbers is to be a list of whole numbers\n");
        return;
    }
    snprintf(answer, sizeof answer, "{\"sum\":%lld}", total);
    respond(x, 200, "application/json", answer);
}

void handle(exchange *x) {
    if (is(x, "GET", "/")) {
        respond(x, 200, PLAIN, "Hello from C!\n");
    } else if (is(x, "POST", "/echo")) {
        echo(x);
    } else if (is(x, "GET", "/headers")) {
        headers(x);
    } else if (is(x, "GET", "/query")) {
        greet(x);
    } else if (is(x, "POST", "/json")) {
        json(x);
    } else if (is(x, "GET", "/error")) {
        fputs("asked to\n", stderr);
        abort();
    } else {
        respond(x, 404, PLAIN, "Not found\n");
    }
}
