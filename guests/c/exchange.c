#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include "gen/app.h"

struct exchange {
    wasi_http_types_own_incoming_request_t request;
    wasi_http_types_own_response_outparam_t outparam;
    char *method;
    // Cut at its question mark.
    char *path;
    const char *query;
    bool is_reading, is_writing;
    wasi_http_types_own_incoming_body_t incoming;
    wasi_io_streams_own_input_stream_t from;
    wasi_http_types_own_outgoing_body_t outgoing;
    wasi_io_streams_own_output_stream_t to;
};

static char *text_of(const uint8_t *bytes, size_t size) {
    char *text = malloc(size + 1);
    memcpy(text, bytes, size);
    text[size] = 0;
    return text;
}

static char *method_of(wasi_http_types_borrow_incoming_request_t request) {
    static const char *names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                  "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    wasi_http_types_method_t method;
    wasi_http_types_method_incoming_request_method(request, &method);
    char *name = method.tag < WASI_HTTP_TYPES_METHOD_OTHER
                     ? strdup(names[method.tag])
                     : text_of(method.val.other.ptr, method.val.other.len);
    wasi_http_types_method_free(&method);
    return name;
}

static char *target_of(wasi_http_types_borrow_incoming_request_t request) {
    app_string_t target;
    if (!wasi_http_types_method_incoming_request_path_with_query(request, &target)) return strdup("/");
    char *text = text_of(target.ptr, target.len);
    app_string_free(&target);
    return text;
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t outparam) {
    wasi_http_types_borrow_incoming_request_t borrowed = wasi_http_types_borrow_incoming_request(request);
    exchange x = {
        .request = request,
        .outparam = outparam,
        .method = method_of(borrowed),
        .path = target_of(borrowed),
        .query = "",
    };
    char *mark = strchr(x.path, '?');
    if (mark) {
        *mark = 0;
        x.query = mark + 1;
    }

    handle(&x);

    // Children are dropped before their parents.
    if (x.is_reading) {
        wasi_io_streams_input_stream_drop_own(x.from);
        wasi_http_types_incoming_body_drop_own(x.incoming);
    }
    if (x.is_writing) {
        wasi_io_streams_output_stream_drop_own(x.to);
        wasi_http_types_outgoing_body_drop_own(x.outgoing);
    }
    wasi_http_types_incoming_request_drop_own(x.request);
    free(x.method);
    free(x.path);
}

bool is(const exchange *x, const char *method, const char *path) {
    return strcmp(x->method, method) == 0 && strcmp(x->path, path) == 0;
}

const char *query(const exchange *x) { return x->query; }

char *field(const exchange *x, const char *name) {
    wasi_http_types_own_headers_t fields =
        wasi_http_types_method_incoming_request_headers(wasi_http_types_borrow_incoming_request(x->request));
    app_string_t wanted = {(uint8_t *)name, strlen(name)};
    wasi_http_types_list_field_value_t values;
    wasi_http_types_method_fields_get(wasi_http_types_borrow_fields(fields), &wanted, &values);
    char *found = values.len ? text_of(values.ptr[0].ptr, values.ptr[0].len) : NULL;
    wasi_http_types_list_field_value_free(&values);
    wasi_http_types_fields_drop_own(fields);
    return found;
}

ssize_t read_body(exchange *x, void *buffer, size_t size) {
    if (!x->is_reading) {
        x->is_reading = true;
        if (!wasi_http_types_method_incoming_request_consume(wasi_http_types_borrow_incoming_request(x->request),
                                                             &x->incoming) ||
            !wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(x->incoming), &x->from))
            abort();
    }
    app_list_u8_t bytes;
    wasi_io_streams_stream_error_t error;
    do {
        if (!wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(x->from), size,
                                                               &bytes, &error)) {
            bool has_ended = error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED;
            wasi_io_streams_stream_error_free(&error);
            return has_ended ? 0 : -1;
        }
        memcpy(buffer, bytes.ptr, bytes.len);
        app_list_u8_free(&bytes);
        // Nothing is no end.
    } while (bytes.len == 0);
    return bytes.len;
}

void begin(exchange *x, int status, const pair *fields, size_t count) {
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    for (size_t at = 0; at < count; at++) {
        app_string_t name = {(uint8_t *)fields[at].name, strlen(fields[at].name)};
        wasi_http_types_field_value_t value = {(uint8_t *)fields[at].value, strlen(fields[at].value)};
        wasi_http_types_header_error_t error;
        if (!wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &name, &value, &error))
            abort();
    }
    wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(headers);
    wasi_http_types_borrow_outgoing_response_t borrowed = wasi_http_types_borrow_outgoing_response(response);
    if (!wasi_http_types_method_outgoing_response_set_status_code(borrowed, status) ||
        !wasi_http_types_method_outgoing_response_body(borrowed, &x->outgoing))
        abort();
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = false, .val.ok = response};
    wasi_http_types_static_response_outparam_set(x->outparam, &result);
    if (!wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(x->outgoing), &x->to))
        abort();
    x->is_writing = true;
}

bool write_body(exchange *x, const void *bytes, size_t size) {
    wasi_io_streams_borrow_output_stream_t to = wasi_io_streams_borrow_output_stream(x->to);
    wasi_io_streams_stream_error_t error;
    for (const uint8_t *at = bytes, *last = at + size; at < last;) {
        // The most that the host takes in one blocking call.
        size_t piece = last - at < 4096 ? last - at : 4096;
        app_list_u8_t list = {(uint8_t *)at, piece};
        if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(to, &list, &error)) {
            wasi_io_streams_stream_error_free(&error);
            return false;
        }
        at += piece;
    }
    return true;
}

void end(exchange *x) {
    x->is_writing = false;
    wasi_io_streams_output_stream_drop_own(x->to);
    wasi_http_types_error_code_t error;
    // It fails when the client went away, and nobody is left who wants to know.
    if (!wasi_http_types_static_outgoing_body_finish(x->outgoing, NULL, &error)) wasi_http_types_error_code_free(&error);
}

void respond(exchange *x, int status, const char *type, const char *text) {
    begin(x, status, &(pair){"content-type", type}, 1);
    if (write_body(x, text, strlen(text))) end(x);
}
