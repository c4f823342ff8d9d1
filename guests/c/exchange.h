// A request and the response to it, in place of the bindings' resources.

#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct exchange exchange;

// What the app does with a request: to be defined by it.
void handle(exchange *);

bool is(const exchange *, const char *method, const char *path);

// The query, without its question mark.
const char *query(const exchange *);

// The first field of that name, or NULL; for who called to free.
char *field(const exchange *, const char *name);

// Reads some of the body: how many bytes, 0 at its end, -1 if there will be no more although it has not ended.
ssize_t read_body(exchange *, void *buffer, size_t size);

typedef struct {
    const char *name;
    const char *value;
} pair;

// Begins the response, then writes its body as it comes, and ends it. Without the end it is cut.
void begin(exchange *, int status, const pair *fields, size_t count);
// False when nobody wants any more of it.
bool write_body(exchange *, const void *bytes, size_t size);
void end(exchange *);

// A whole response.
void respond(exchange *, int status, const char *type, const char *text);

#endif
