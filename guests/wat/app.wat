;; An HTTP application in one text file, with no toolchain behind it: `wasgun app.wat`.
;;
;; It exports wasi:http/incoming-handler and imports everything at 0.2.0, the oldest version, so that every 0.2 host
;; takes it. Every method is answered alike; of a HEAD the host drops the body.
;;
;; From top to bottom: what is imported, the memory, the program, its texts, and the lines that tie these to the
;; outside.

(component

  ;; ---- What the host gives -------------------------------------------------------------------------------------
  ;; Of each interface only what is used here, but that in full: a host compares these types with its own.

  (import "wasi:io/error@0.2.0" (instance $io
    (export "error" (type (sub resource)))))
  (alias export $io "error" (type $error))

  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "error" (type $io-error (eq $error)))
    (export "input-stream" (type $input-stream (sub resource)))
    (export "output-stream" (type $output-stream (sub resource)))
    (type $stream-failure (variant (case "last-operation-failed" (own $io-error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-failure)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8))
      (result (result (error $stream-error)))))
    (export "[method]output-stream.blocking-splice" (func
      (param "self" (borrow $output-stream)) (param "src" (borrow $input-stream)) (param "len" u64)
      (result (result u64 (error $stream-error)))))))
  (alias export $streams "input-stream" (type $input-stream))
  (alias export $streams "output-stream" (type $output-stream))

  (import "wasi:http/types@0.2.0" (instance $http
    (export "input-stream" (type $from (eq $input-stream)))
    (export "output-stream" (type $to (eq $output-stream)))
    (export "fields" (type $fields (sub resource)))
    (export "incoming-request" (type $incoming-request (sub resource)))
    (export "incoming-body" (type $incoming-body (sub resource)))
    (export "response-outparam" (type $response-outparam (sub resource)))
    (export "outgoing-response" (type $outgoing-response (sub resource)))
    (export "outgoing-body" (type $outgoing-body (sub resource)))

    (type $refused-header (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $header-error (eq $refused-header)))

    ;; This program never reports an error-code, but two of its calls name the type, and it has to be complete.
    (type $dns (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns-error-payload (eq $dns)))
    (type $tls (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls-alert-received-payload (eq $tls)))
    (type $field-size (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $field-size-payload (eq $field-size)))
    (type $codes (variant
      (case "DNS-timeout")
      (case "DNS-error" $dns-error-payload)
      (case "destination-not-found")
      (case "destination-unavailable")
      (case "destination-IP-prohibited")
      (case "destination-IP-unroutable")
      (case "connection-refused")
      (case "connection-terminated")
      (case "connection-timeout")
      (case "connection-read-timeout")
      (case "connection-write-timeout")
      (case "connection-limit-reached")
      (case "TLS-protocol-error")
      (case "TLS-certificate-error")
      (case "TLS-alert-received" $tls-alert-received-payload)
      (case "HTTP-request-denied")
      (case "HTTP-request-length-required")
      (case "HTTP-request-body-size" (option u64))
      (case "HTTP-request-method-invalid")
      (case "HTTP-request-URI-invalid")
      (case "HTTP-request-URI-too-long")
      (case "HTTP-request-header-section-size" (option u32))
      (case "HTTP-request-header-size" (option $field-size-payload))
      (case "HTTP-request-trailer-section-size" (option u32))
      (case "HTTP-request-trailer-size" $field-size-payload)
      (case "HTTP-response-incomplete")
      (case "HTTP-response-header-section-size" (option u32))
      (case "HTTP-response-header-size" $field-size-payload)
      (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32))
      (case "HTTP-response-trailer-size" $field-size-payload)
      (case "HTTP-response-transfer-coding" (option string))
      (case "HTTP-response-content-coding" (option string))
      (case "HTTP-response-timeout")
      (case "HTTP-upgrade-failed")
      (case "HTTP-protocol-error")
      (case "loop-detected")
      (case "configuration-error")
      (case "internal-error" (option string))))
    (export "error-code" (type $error-code (eq $codes)))

    (export "[static]fields.from-list" (func
      (param "entries" (list (tuple string (list u8))))
      (result (result (own $fields) (error $header-error)))))
    (export "[method]fields.get" (func
      (param "self" (borrow $fields)) (param "name" string) (result (list (list u8)))))
    (export "[method]incoming-request.path-with-query" (func
      (param "self" (borrow $incoming-request)) (result (option string))))
    (export "[method]incoming-request.headers" (func
      (param "self" (borrow $incoming-request)) (result (own $fields))))
    (export "[method]incoming-request.consume" (func
      (param "self" (borrow $incoming-request)) (result (result (own $incoming-body)))))
    (export "[method]incoming-body.stream" (func
      (param "self" (borrow $incoming-body)) (result (result (own $from)))))
    (export "[constructor]outgoing-response" (func
      (param "headers" (own $fields)) (result (own $outgoing-response))))
    (export "[method]outgoing-response.set-status-code" (func
      (param "self" (borrow $outgoing-response)) (param "status-code" u16) (result (result))))
    (export "[method]outgoing-response.body" (func
      (param "self" (borrow $outgoing-response)) (result (result (own $outgoing-body)))))
    (export "[static]response-outparam.set" (func
      (param "param" (own $response-outparam))
      (param "response" (result (own $outgoing-response) (error $error-code)))))
    (export "[method]outgoing-body.write" (func
      (param "self" (borrow $outgoing-body)) (result (result (own $to)))))
    (export "[static]outgoing-body.finish" (func
      (param "this" (own $outgoing-body)) (param "trailers" (option (own $fields)))
      (result (result (error $error-code)))))))
  (alias export $http "fields" (type $fields))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "incoming-body" (type $incoming-body))
  (alias export $http "response-outparam" (type $response-outparam))
  (alias export $http "outgoing-body" (type $outgoing-body))

  ;; ---- The memory ----------------------------------------------------------------------------------------------
  ;; A module of its own: the host's functions must know where to write before the program that imports them exists.

  (core module $Memory
    (memory (export "memory") 1)

    ;; The host's strings go on a heap behind the texts, which every request starts anew. So a reused instance
    ;; never grows beyond its longest request.
    (global $top (export "top") (mut i32) (i32.const 0))

    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $new i32) (local $missing i32)
      (local.set $new (i32.and
        (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $top (i32.add (local.get $new) (local.get $size)))
      (local.set $missing (i32.sub
        (i32.shr_u (i32.add (global.get $top) (i32.const 0xffff)) (i32.const 16))
        (memory.size)))
      (if (i32.gt_s (local.get $missing) (i32.const 0))
        ;; The one trap in this file: without memory for the request's own head there is nothing left to say.
        (then (if (i32.lt_s (memory.grow (local.get $missing)) (i32.const 0)) (then (unreachable)))))
      (if (local.get $old)
        (then (memory.copy (local.get $new) (local.get $old)
          (select (local.get $size) (local.get $old-size) (i32.lt_u (local.get $size) (local.get $old-size))))))
      (local.get $new)))

  (core instance $memory (instantiate $Memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))

  ;; ---- The program ---------------------------------------------------------------------------------------------

  (core module $Program
    (import "memory" "memory" (memory 1))
    (import "memory" "top" (global $top (mut i32)))

    ;; A result or an option comes back in memory, at the address given last. A handle is an i32.
    (import "host" "fields.from-list" (func $fields.from-list (param i32 i32 i32)))
    (import "host" "fields.get" (func $fields.get (param i32 i32 i32 i32)))
    (import "host" "fields.drop" (func $fields.drop (param i32)))
    (import "host" "request.path" (func $request.path (param i32 i32)))
    (import "host" "request.headers" (func $request.headers (param i32) (result i32)))
    (import "host" "request.consume" (func $request.consume (param i32 i32)))
    (import "host" "request.drop" (func $request.drop (param i32)))
    (import "host" "incoming.stream" (func $incoming.stream (param i32 i32)))
    (import "host" "incoming.drop" (func $incoming.drop (param i32)))
    (import "host" "response" (func $response (param i32) (result i32)))
    (import "host" "response.set-status" (func $response.set-status (param i32 i32) (result i32)))
    (import "host" "response.body" (func $response.body (param i32 i32)))
    (import "host" "outparam.set" (func $outparam.set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (import "host" "body.write" (func $body.write (param i32 i32)))
    (import "host" "body.finish" (func $body.finish (param i32 i32 i32 i32)))
    (import "host" "body.drop" (func $body.drop (param i32)))
    (import "host" "to.write" (func $to.write (param i32 i32 i32 i32)))
    (import "host" "to.splice" (func $to.splice (param i32 i32 i64 i32)))
    (import "host" "to.drop" (func $to.drop (param i32)))
    (import "host" "from.drop" (func $from.drop (param i32)))
    (import "host" "error.drop" (func $error.drop (param i32)))

    ;; Addresses. A fresh instance pays for every page of memory that it touches, so it is few that are used.
    (global $result i32 (i32.const 0x010))           ;; where the host puts results, at most 40 bytes
    (global $headers i32 (i32.const 0x040))          ;; three entries of 16 bytes: name, length, value, length
    (global $heap i32 (i32.const 0x1000))

    (func (export "handle") (param $request i32) (param $out i32)
      (global.set $top (global.get $heap))
      (call $path-of (local.get $request))
      (call $route (local.get $request) (local.get $out)))

    (func $route (param $path i32) (param $len i32) (param $request i32) (param $out i32)
      (if (call $is (local.get $path) (local.get $len) (global.get $/))
        (then (return (call $text (local.get $request) (local.get $out) (i32.const 200) (global.get $greeting)))))
      (if (call $is (local.get $path) (local.get $len) (global.get $/echo))
        (then (return (call $echo (local.get $request) (local.get $out)))))
      (if (call $is (local.get $path) (local.get $len) (global.get $/headers))
        (then (return (call $cookies (local.get $request) (local.get $out)))))
      ;; A trap ends the instance; the server answers with 500, and says where it was.
      (if (call $is (local.get $path) (local.get $len) (global.get $/error))
        (then (unreachable)))
      (call $text (local.get $request) (local.get $out) (i32.const 404) (global.get $not-found)))

    ;; ---- What is answered

    (func $text (param $request i32) (param $out i32) (param $status i32) (param $text i32)
      (local $body i32) (local $to i32)
      (call $request.drop (local.get $request))
      (call $header (i32.const 0) (global.get $content-type) (global.get $plain) (call $length (global.get $plain)))
      (call $begin (local.get $out) (local.get $status) (i32.const 1))
      (local.set $to)
      (local.set $body)
      (call $to.write (local.get $to) (local.get $text) (call $length (local.get $text)) (global.get $result))
      (if (i32.load8_u (global.get $result)) (then (call $drop-error (i32.const 4))))
      (call $end (local.get $body) (local.get $to)))

    ;; The value of x-question comes back in x-answer, with two cookies.
    (func $cookies (param $request i32) (param $out i32)
      (local $value i32) (local $len i32)
      (call $field (local.get $request) (global.get $x-question))
      (local.set $len)
      (local.set $value)
      (call $request.drop (local.get $request))
      (call $header (i32.const 0) (global.get $x-answer) (local.get $value) (local.get $len))
      (call $header (i32.const 16) (global.get $set-cookie) (global.get $cookie-a) (call $length (global.get $cookie-a)))
      (call $header (i32.const 32) (global.get $set-cookie) (global.get $cookie-b) (call $length (global.get $cookie-b)))
      (call $begin (local.get $out) (i32.const 200) (i32.const 3))
      (call $end))

    ;; The body goes back as it comes: the host moves it, and no byte of it enters this memory.
    (func $echo (param $request i32) (param $out i32)
      (local $kind i32) (local $len i32)
      (local $incoming i32) (local $from i32) (local $body i32) (local $to i32)
      (call $field (local.get $request) (global.get $content-type))
      (local.set $len)
      (local.set $kind)
      (if (i32.eqz (local.get $len))
        (then
          (local.set $kind (global.get $octets))
          (local.set $len (call $length (global.get $octets)))))
      (call $header (i32.const 0) (global.get $content-type) (local.get $kind) (local.get $len))
      (call $request.consume (local.get $request) (global.get $result))
      (local.set $incoming (call $ok))
      (call $incoming.stream (local.get $incoming) (global.get $result))
      (local.set $from (call $ok))
      (call $begin (local.get $out) (i32.const 200) (i32.const 1))
      (local.set $to)
      (local.set $body)
      (loop $next
        (call $to.splice (local.get $to) (local.get $from) (i64.const 0x10000) (global.get $result))
        (br_if $next (i32.eqz (i32.load8_u (global.get $result)))))
      ;; A child is dropped before its parent.
      (call $from.drop (local.get $from))
      (call $incoming.drop (local.get $incoming))
      (call $request.drop (local.get $request))
      (if (i32.load8_u offset=8 (global.get $result))
        ;; `closed`, so the body was whole, or the client is gone.
        (then (call $end (local.get $body) (local.get $to)))
        (else
          (call $drop-error (i32.const 8))
          (call $to.drop (local.get $to))
          ;; Not finished, it is cut.
          (call $body.drop (local.get $body)))))

    ;; ---- The request

    ;; The path without its query; `/` if there is none.
    (func $path-of (param $request i32) (result i32 i32)
      (local $path i32) (local $len i32) (local $i i32)
      (call $request.path (local.get $request) (global.get $result))
      (if (i32.eqz (i32.load8_u (global.get $result)))
        (then (return (global.get $/) (i32.const 1))))
      (local.set $path (i32.load offset=4 (global.get $result)))
      (local.set $len (i32.load offset=8 (global.get $result)))
      (block $end
        (loop $next
          (br_if $end (i32.ge_u (local.get $i) (local.get $len)))
          (br_if $end (i32.eq (i32.load8_u (i32.add (local.get $path) (local.get $i))) (i32.const 0x3f))) ;; ?
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next)))
      (local.get $path) (local.get $i))

    ;; The first value of a field; nothing, if there is none.
    (func $field (param $request i32) (param $name i32) (result i32 i32)
      (local $fields i32) (local $value i32)
      (local.set $fields (call $request.headers (local.get $request)))
      (call $fields.get (local.get $fields) (local.get $name) (call $length (local.get $name)) (global.get $result))
      ;; Dropped here and now: these fields are the request's child, and it cannot be dropped before them.
      (call $fields.drop (local.get $fields))
      (if (i32.eqz (i32.load offset=4 (global.get $result)))
        (then (return (i32.const 0) (i32.const 0))))
      (local.set $value (i32.load (global.get $result)))
      (i32.load (local.get $value)) (i32.load offset=4 (local.get $value)))

    ;; ---- The response

    (func $header (param $at i32) (param $name i32) (param $value i32) (param $len i32)
      (local.set $at (i32.add (global.get $headers) (local.get $at)))
      (i32.store (local.get $at) (local.get $name))
      (i32.store offset=4 (local.get $at) (call $length (local.get $name)))
      (i32.store offset=8 (local.get $at) (local.get $value))
      (i32.store offset=12 (local.get $at) (local.get $len)))

    ;; Sends the head, with so many of the headers; what its body is, and is written by.
    (func $begin (param $out i32) (param $status i32) (param $count i32) (result i32 i32)
      (local $response i32) (local $body i32)
      (call $fields.from-list (global.get $headers) (local.get $count) (global.get $result))
      (local.set $response (call $response (call $ok)))
      (drop (call $response.set-status (local.get $response) (local.get $status)))
      ;; The body has to be taken before the response is handed over, and written after: until then nobody reads it.
      (call $response.body (local.get $response) (global.get $result))
      (local.set $body (call $ok))
      (call $outparam.set (local.get $out) (i32.const 0) (local.get $response)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) ;; room for an error-code
      (call $body.write (local.get $body) (global.get $result))
      (local.get $body) (call $ok))

    (func $end (param $body i32) (param $to i32)
      (call $to.drop (local.get $to))
      ;; It fails when the client went away, and nobody is left who wants to know.
      (call $body.finish (local.get $body) (i32.const 0) (i32.const 0) (global.get $result)))

    ;; ---- What the others use

    ;; Of a result with a handle: the handle. An error is one that a server makes only of a program that is wrong.
    (func $ok (result i32)
      (if (i32.load8_u (global.get $result)) (then (unreachable)))
      (i32.load offset=4 (global.get $result)))

    ;; Of a stream-error, which is so far into a result: what it may hold is to be given back.
    (func $drop-error (param $at i32)
      (local.set $at (i32.add (global.get $result) (local.get $at)))
      (if (i32.eqz (i32.load8_u (local.get $at))) ;; not `closed`
        (then (call $error.drop (i32.load offset=4 (local.get $at))))))

    (func $length (param $text i32) (result i32)
      (local $end i32)
      (local.set $end (local.get $text))
      (block $found
        (loop $next
          (br_if $found (i32.eqz (i32.load8_u (local.get $end))))
          (local.set $end (i32.add (local.get $end) (i32.const 1)))
          (br $next)))
      (i32.sub (local.get $end) (local.get $text)))

    ;; Whether `len` bytes are those of `text`, which ends with a zero.
    (func $is (param $bytes i32) (param $len i32) (param $text i32) (result i32)
      (if (i32.ne (local.get $len) (call $length (local.get $text)))
        (then (return (i32.const 0))))
      (loop $next
        (if (i32.eqz (local.get $len)) (then (return (i32.const 1))))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br_if $next (i32.eq
          (i32.load8_u (i32.add (local.get $bytes) (local.get $len)))
          (i32.load8_u (i32.add (local.get $text) (local.get $len))))))
      (i32.const 0))

    ;; ---- The texts ---------------------------------------------------------------------------------------------

    (global $/ i32 (i32.const 0x100))                     (data (i32.const 0x100) "/\00")
    (global $/echo i32 (i32.const 0x110))                 (data (i32.const 0x110) "/echo\00")
    (global $/headers i32 (i32.const 0x120))              (data (i32.const 0x120) "/headers\00")
    (global $/error i32 (i32.const 0x130))                (data (i32.const 0x130) "/error\00")
    (global $content-type i32 (i32.const 0x140))          (data (i32.const 0x140) "content-type\00")
    (global $plain i32 (i32.const 0x150))                 (data (i32.const 0x150) "text/plain; charset=utf-8\00")
    (global $octets i32 (i32.const 0x170))                (data (i32.const 0x170) "application/octet-stream\00")
    (global $x-question i32 (i32.const 0x190))            (data (i32.const 0x190) "x-question\00")
    (global $x-answer i32 (i32.const 0x1a0))              (data (i32.const 0x1a0) "x-answer\00")
    (global $set-cookie i32 (i32.const 0x1b0))            (data (i32.const 0x1b0) "set-cookie\00")
    (global $cookie-a i32 (i32.const 0x1c0))              (data (i32.const 0x1c0) "a=1\00")
    (global $cookie-b i32 (i32.const 0x1d0))              (data (i32.const 0x1d0) "b=2\00")
    (global $greeting i32 (i32.const 0x1e0))              (data (i32.const 0x1e0) "Hello from WAT!\n\00")
    (global $not-found i32 (i32.const 0x200))             (data (i32.const 0x200) "Not found\n\00"))

  ;; ---- The ties ------------------------------------------------------------------------------------------------
  ;; Each import as a core function. Those that take or give a string, a list or a result are told the memory;
  ;; those that give a string or a list, also where to find room for it.

  (core func $fields.from-list (canon lower (func $http "[static]fields.from-list") (memory $mem)))
  (core func $fields.get (canon lower (func $http "[method]fields.get") (memory $mem) (realloc $realloc)))
  (core func $fields.drop (canon resource.drop $fields))
  (core func $request.path
    (canon lower (func $http "[method]incoming-request.path-with-query") (memory $mem) (realloc $realloc)))
  (core func $request.headers (canon lower (func $http "[method]incoming-request.headers")))
  (core func $request.consume (canon lower (func $http "[method]incoming-request.consume") (memory $mem)))
  (core func $request.drop (canon resource.drop $incoming-request))
  (core func $incoming.stream (canon lower (func $http "[method]incoming-body.stream") (memory $mem)))
  (core func $incoming.drop (canon resource.drop $incoming-body))
  (core func $response (canon lower (func $http "[constructor]outgoing-response")))
  (core func $response.set-status (canon lower (func $http "[method]outgoing-response.set-status-code")))
  (core func $response.body (canon lower (func $http "[method]outgoing-response.body") (memory $mem)))
  (core func $outparam.set
    (canon lower (func $http "[static]response-outparam.set") (memory $mem) (realloc $realloc)))
  (core func $body.write (canon lower (func $http "[method]outgoing-body.write") (memory $mem)))
  (core func $body.finish (canon lower (func $http "[static]outgoing-body.finish") (memory $mem) (realloc $realloc)))
  (core func $body.drop (canon resource.drop $outgoing-body))
  (core func $to.write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
  (core func $to.splice (canon lower (func $streams "[method]output-stream.blocking-splice") (memory $mem)))
  (core func $to.drop (canon resource.drop $output-stream))
  (core func $from.drop (canon resource.drop $input-stream))
  (core func $error.drop (canon resource.drop $error))

  (core instance $program (instantiate $Program
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "fields.from-list" (func $fields.from-list))
      (export "fields.get" (func $fields.get))
      (export "fields.drop" (func $fields.drop))
      (export "request.path" (func $request.path))
      (export "request.headers" (func $request.headers))
      (export "request.consume" (func $request.consume))
      (export "request.drop" (func $request.drop))
      (export "incoming.stream" (func $incoming.stream))
      (export "incoming.drop" (func $incoming.drop))
      (export "response" (func $response))
      (export "response.set-status" (func $response.set-status))
      (export "response.body" (func $response.body))
      (export "outparam.set" (func $outparam.set))
      (export "body.write" (func $body.write))
      (export "body.finish" (func $body.finish))
      (export "body.drop" (func $body.drop))
      (export "to.write" (func $to.write))
      (export "to.splice" (func $to.splice))
      (export "to.drop" (func $to.drop))
      (export "from.drop" (func $from.drop))
      (export "error.drop" (func $error.drop))))))

  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $program "handle")))

  ;; An export that names resource types has to export these as well, and only a component of its own can give them
  ;; their second name. Without this a host serves the file all the same, but nothing can be composed with it.
  (component $Interface
    (import "incoming-request" (type $incoming-request (sub resource)))
    (import "response-outparam" (type $response-outparam (sub resource)))
    (import "handle" (func $handle
      (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))))
    (export $request "incoming-request" (type $incoming-request))
    (export $out "response-outparam" (type $response-outparam))
    (export "handle" (func $handle) (func (param "request" (own $request)) (param "response-out" (own $out)))))
  (instance $incoming-handler (instantiate $Interface
    (with "incoming-request" (type $incoming-request))
    (with "response-outparam" (type $response-outparam))
    (with "handle" (func $handle))))
  (export "wasi:http/incoming-handler@0.2.0" (instance $incoming-handler)))
