;; hello.wat: a complete HTTP application in one text file, with no toolchain behind it.
;;
;; It is what `wasgun --demo` serves, and `wasmtime serve -Scli hello.wat` serves it as well. It exports
;; wasi:http/incoming-handler and imports everything at 0.2.0, the oldest version, so that every 0.2 host takes it.
;;
;;   GET /       a page that asks /now again and again and shows which worker answered, and how fast
;;   GET /now    {"request":"2-4711-17","answered":1,"ns":51234}
;;   GET /hello  Hello from wasgun!
;;   the rest    404
;;
;; Every method is answered alike; of a HEAD the host drops the body.
;;
;; From top to bottom: what is imported, the memory, the program, its texts (the page is the last of them), and
;; the lines that tie these to the outside.

(component $hello

  ;; ---- What the host gives -------------------------------------------------------------------------------------
  ;; Of each interface only what is used here, but that in full: a host compares these types with its own.

  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (export "now" (func (result u64)))))

  (import "wasi:io/error@0.2.0" (instance $io
    (export "error" (type (sub resource)))))
  (alias export $io "error" (type $error))

  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "error" (type $io-error (eq $error)))
    (export "output-stream" (type $output-stream (sub resource)))
    (type $stream-failure (variant (case "last-operation-failed" (own $io-error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-failure)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8))
      (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))

  (import "wasi:http/types@0.2.0" (instance $http
    (export "output-stream" (type $stream (eq $output-stream)))
    (export "fields" (type $fields (sub resource)))
    (export "incoming-request" (type $incoming-request (sub resource)))
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

    (export "[constructor]fields" (func (result (own $fields))))
    (export "[static]fields.from-list" (func
      (param "entries" (list (tuple string (list u8))))
      (result (result (own $fields) (error $header-error)))))
    (export "[method]fields.get" (func
      (param "self" (borrow $fields)) (param "name" string) (result (list (list u8)))))
    (export "[method]incoming-request.path-with-query" (func
      (param "self" (borrow $incoming-request)) (result (option string))))
    (export "[method]incoming-request.headers" (func
      (param "self" (borrow $incoming-request)) (result (own $fields))))
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
      (param "self" (borrow $outgoing-body)) (result (result (own $stream)))))
    (export "[static]outgoing-body.finish" (func
      (param "this" (own $outgoing-body)) (param "trailers" (option (own $fields)))
      (result (result (error $error-code)))))))
  (alias export $http "fields" (type $fields))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))

  ;; ---- The memory ----------------------------------------------------------------------------------------------
  ;; A module of its own: the host's functions must know where to write before the program that imports them exists.

  (core module $Memory
    (memory (export "memory") 1)

    ;; The host's strings go on a heap behind the texts, which every request starts anew: see $handle. So a reused
    ;; instance never grows beyond its longest request.
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
    (import "host" "now" (func $now (result i64)))
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "fields.from-list" (func $fields.from-list (param i32 i32 i32)))
    (import "host" "fields.get" (func $fields.get (param i32 i32 i32 i32)))
    (import "host" "fields.drop" (func $fields.drop (param i32)))
    (import "host" "request.path" (func $request.path (param i32 i32)))
    (import "host" "request.headers" (func $request.headers (param i32) (result i32)))
    (import "host" "request.drop" (func $request.drop (param i32)))
    (import "host" "response" (func $response (param i32) (result i32)))
    (import "host" "response.set-status" (func $response.set-status (param i32 i32) (result i32)))
    (import "host" "response.body" (func $response.body (param i32 i32)))
    (import "host" "outparam.set" (func $outparam.set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (import "host" "body.write" (func $body.write (param i32 i32)))
    (import "host" "body.finish" (func $body.finish (param i32 i32 i32 i32)))
    (import "host" "stream.write" (func $stream.write (param i32 i32 i32 i32)))
    (import "host" "stream.drop" (func $stream.drop (param i32)))
    (import "host" "error.drop" (func $error.drop (param i32)))

    ;; Addresses. All that is written, but for the heap, shares the first 4 KiB with the short texts: a fresh instance
    ;; pays for every page of memory that it touches.
    (global $result i32 (i32.const 0x010))           ;; where the host puts results, at most 40 bytes
    (global $headers i32 (i32.const 0x040))          ;; three entries of 16 bytes: name, length, value, length
    (global $content-length i32 (i32.const 0x080))   ;; its digits
    (global $json i32 (i32.const 0x800))             ;; the answer to /now, at most 250 bytes
    (global $heap i32 (i32.const 0x5000))

    ;; Requests that this instance has answered: it stays at 1 where every request gets an instance of its own.
    (global $answered (mut i64) (i64.const 0))

    (func (export "handle") (param $request i32) (param $out i32)
      (local $start i64)
      (local $path i32) (local $path-len i32)
      (local $status i32) (local $type i32)
      (local $text i32) (local $len i32) (local $ns i32)
      (local $response i32) (local $body i32) (local $stream i32)

      (local.set $start (call $now))
      (global.set $top (global.get $heap))
      (global.set $answered (i64.add (global.get $answered) (i64.const 1)))

      (call $path-of (local.get $request))
      (local.set $path-len)
      (local.set $path)

      (local.set $status (i32.const 200))
      (local.set $type (global.get $plain))
      (block $routed
        (if (call $is (local.get $path) (local.get $path-len) (global.get $/))
          (then
            (local.set $type (global.get $html))
            (local.set $text (global.get $page))
            (br $routed)))
        (if (call $is (local.get $path) (local.get $path-len) (global.get $/now))
          (then
            (local.set $type (global.get $application/json))
            (local.set $text (global.get $json))
            (local.set $ns (call $begin-now (local.get $request)))
            (br $routed)))
        (if (call $is (local.get $path) (local.get $path-len) (global.get $/hello))
          (then
            (local.set $text (global.get $greeting))
            (br $routed)))
        (local.set $status (i32.const 404))
        (local.set $text (global.get $not-found)))
      (call $request.drop (local.get $request))
      (local.set $len (call $length (local.get $text)))

      (local.set $response (call $response (call $make-headers (local.get $type) (local.get $len))))
      (drop (call $response.set-status (local.get $response) (local.get $status)))
      ;; The body has to be taken before the response is handed over, and written after: until then nobody reads it.
      (call $response.body (local.get $response) (global.get $result))
      (local.set $body (call $ok-or-0))
      (call $outparam.set (local.get $out) (i32.const 0) (local.get $response)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) ;; room for an error-code
      (if (i32.eqz (local.get $body)) (then (return)))

      (call $body.write (local.get $body) (global.get $result))
      (local.set $stream (call $ok-or-0))
      (if (local.get $stream)
        (then
          (if (local.get $ns)
            (then (call $put-ns (local.get $ns) (i64.sub (call $now) (local.get $start)))))
          (call $send (local.get $stream) (local.get $text) (local.get $len))
          ;; The stream is the body's child: finish traps while it lives.
          (call $stream.drop (local.get $stream))))
      ;; After a broken connection this fails (bytes are missing), and nobody is left who wants to know.
      (call $body.finish (local.get $body) (i32.const 0) (i32.const 0) (global.get $result)))

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

    ;; The first value of x-request-id, which the server sets to slot-pid-sequence; 0 0 if there is none.
    (func $request-id (param $request i32) (result i32 i32)
      (local $fields i32) (local $value i32)
      (local.set $fields (call $request.headers (local.get $request)))
      (call $fields.get (local.get $fields)
        (global.get $x-request-id) (call $length (global.get $x-request-id)) (global.get $result))
      ;; Dropped here and now: these fields are the request's child, and it cannot be dropped before them.
      (call $fields.drop (local.get $fields))
      (if (i32.eqz (i32.load offset=4 (global.get $result)))
        (then (return (i32.const 0) (i32.const 0))))
      (local.set $value (i32.load (global.get $result)))
      (i32.load (local.get $value)) (i32.load offset=4 (local.get $value)))

    ;; ---- The answer

    ;; A host that refuses one of them gets a response without headers rather than a trap.
    (func $make-headers (param $type i32) (param $len i32) (result i32)
      (local $fields i32)
      (call $put-zero (call $put-number (global.get $content-length) (i64.extend_i32_u (local.get $len))))
      (call $header (i32.const 0) (global.get $content-type) (local.get $type))
      (call $header (i32.const 16) (global.get $content-length-name) (global.get $content-length))
      (call $header (i32.const 32) (global.get $cache-control) (global.get $no-store))
      (call $fields.from-list (global.get $headers) (i32.const 3) (global.get $result))
      (local.set $fields (call $ok-or-0))
      (if (result i32) (local.get $fields)
        (then (local.get $fields))
        (else (call $fields))))

    (func $header (param $at i32) (param $name i32) (param $value i32)
      (local.set $at (i32.add (global.get $headers) (local.get $at)))
      (i32.store (local.get $at) (local.get $name))
      (i32.store offset=4 (local.get $at) (call $length (local.get $name)))
      (i32.store offset=8 (local.get $at) (local.get $value))
      (i32.store offset=12 (local.get $at) (call $length (local.get $value))))

    ;; Of a result with a handle: the handle, or 0 for an error. (0 is no handle in any host.)
    (func $ok-or-0 (result i32)
      (select
        (i32.const 0)
        (i32.load offset=4 (global.get $result))
        (i32.load8_u (global.get $result))))

    ;; In pieces of 4096 bytes, the most that this call may be given. Stops quietly when the connection is gone.
    (func $send (param $stream i32) (param $at i32) (param $left i32)
      (local $piece i32)
      (loop $next
        (if (i32.eqz (local.get $left)) (then (return)))
        (local.set $piece (select (local.get $left) (i32.const 4096) (i32.lt_u (local.get $left) (i32.const 4096))))
        (call $stream.write (local.get $stream) (local.get $at) (local.get $piece) (global.get $result))
        (if (i32.load8_u (global.get $result))
          (then
            (if (i32.eqz (i32.load8_u offset=4 (global.get $result))) ;; not `closed`, but an error to give back
              (then (call $error.drop (i32.load offset=8 (global.get $result)))))
            (return)))
        (local.set $at (i32.add (local.get $at) (local.get $piece)))
        (local.set $left (i32.sub (local.get $left) (local.get $piece)))
        (br $next)))

    ;; ---- /now
    ;; The time is to cover all of the work, and the length is announced before that is over. So the time is filled
    ;; in last, into a field of fixed width: the spaces that are left over stand behind the brace, where no parser
    ;; and no reader minds them.

    ;; Returns where the time belongs.
    (func $begin-now (param $request i32) (result i32)
      (local $at i32) (local $ns i32) (local $id i32) (local $id-len i32)
      (call $request-id (local.get $request))
      (local.set $id-len)
      (local.set $id)
      (local.set $at (call $put-text (global.get $json) (global.get $json-request)))
      (local.set $at (if (result i32) (local.get $id-len)
        (then (call $put-quoted (local.get $at) (local.get $id) (local.get $id-len)))
        (else (call $put-text (local.get $at) (global.get $json-null)))))
      (local.set $at (call $put-text (local.get $at) (global.get $json-answered)))
      (local.set $at (call $put-number (local.get $at) (global.get $answered)))
      (local.set $ns (call $put-text (local.get $at) (global.get $json-ns)))
      (call $put-zero (call $put-text (local.get $ns) (global.get $json-room)))
      (local.get $ns))

    ;; 20 digits and the brace fit: no u64 is longer.
    (func $put-ns (param $at i32) (param $ns i64)
      (drop (call $put (call $put-number (local.get $at) (local.get $ns)) (i32.const 0x7d)))) ;; }

    ;; At most 128 bytes, and only what needs no escape: a client may have sent anything.
    (func $put-quoted (param $at i32) (param $text i32) (param $len i32) (result i32)
      (local $end i32) (local $byte i32)
      (local.set $end (i32.add (local.get $text)
        (select (local.get $len) (i32.const 128) (i32.lt_u (local.get $len) (i32.const 128)))))
      (local.set $at (call $put (local.get $at) (i32.const 0x22)))
      (block $done
        (loop $next
          (br_if $done (i32.eq (local.get $text) (local.get $end)))
          (local.set $byte (i32.load8_u (local.get $text)))
          (local.set $text (i32.add (local.get $text) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $byte) (i32.const 0x20)))
          (br_if $next (i32.gt_u (local.get $byte) (i32.const 0x7e)))
          (br_if $next (i32.eq (local.get $byte) (i32.const 0x22))) ;; "
          (br_if $next (i32.eq (local.get $byte) (i32.const 0x5c))) ;; \
          (local.set $at (call $put (local.get $at) (local.get $byte)))
          (br $next)))
      (call $put (local.get $at) (i32.const 0x22)))

    ;; ---- Text
    ;; A text ends with a zero byte, so that it can be edited below without counting. What puts something returns
    ;; the address behind it.

    (func $length (param $text i32) (result i32)
      (local $at i32)
      (local.set $at (local.get $text))
      (block $end
        (loop $next
          (br_if $end (i32.eqz (i32.load8_u (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next)))
      (i32.sub (local.get $at) (local.get $text)))

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

    (func $put (param $at i32) (param $byte i32) (result i32)
      (i32.store8 (local.get $at) (local.get $byte))
      (i32.add (local.get $at) (i32.const 1)))

    (func $put-zero (param $at i32)
      (i32.store8 (local.get $at) (i32.const 0)))

    (func $put-text (param $at i32) (param $text i32) (result i32)
      (local $len i32)
      (local.set $len (call $length (local.get $text)))
      (memory.copy (local.get $at) (local.get $text) (local.get $len))
      (i32.add (local.get $at) (local.get $len)))

    (func $put-number (param $at i32) (param $n i64) (result i32)
      (if (i64.ge_u (local.get $n) (i64.const 10))
        (then (local.set $at (call $put-number (local.get $at) (i64.div_u (local.get $n) (i64.const 10))))))
      (call $put (local.get $at)
        (i32.add (i32.const 0x30) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10))))))

    ;; ---- The texts ---------------------------------------------------------------------------------------------

    (global $/ i32 (i32.const 0x100))                     (data (i32.const 0x100) "/\00")
    (global $/now i32 (i32.const 0x110))                  (data (i32.const 0x110) "/now\00")
    (global $/hello i32 (i32.const 0x120))                (data (i32.const 0x120) "/hello\00")
    (global $x-request-id i32 (i32.const 0x130))          (data (i32.const 0x130) "x-request-id\00")
    (global $content-type i32 (i32.const 0x140))          (data (i32.const 0x140) "content-type\00")
    (global $content-length-name i32 (i32.const 0x150))   (data (i32.const 0x150) "content-length\00")
    (global $cache-control i32 (i32.const 0x160))         (data (i32.const 0x160) "cache-control\00")
    (global $no-store i32 (i32.const 0x170))              (data (i32.const 0x170) "no-store\00")
    (global $html i32 (i32.const 0x180))                  (data (i32.const 0x180) "text/html; charset=utf-8\00")
    (global $plain i32 (i32.const 0x1a0))                 (data (i32.const 0x1a0) "text/plain; charset=utf-8\00")
    (global $application/json i32 (i32.const 0x1c0))      (data (i32.const 0x1c0) "application/json\00")
    (global $greeting i32 (i32.const 0x1e0))              (data (i32.const 0x1e0) "Hello from wasgun!\n\00")
    (global $not-found i32 (i32.const 0x200))             (data (i32.const 0x200) "Not found. Here are /, /now and /hello.\n\00")
    (global $json-request i32 (i32.const 0x240))          (data (i32.const 0x240) "{\"request\":\00")
    (global $json-null i32 (i32.const 0x250))             (data (i32.const 0x250) "null\00")
    (global $json-answered i32 (i32.const 0x260))         (data (i32.const 0x260) ",\"answered\":\00")
    (global $json-ns i32 (i32.const 0x270))               (data (i32.const 0x270) ",\"ns\":\00")
    (global $json-room i32 (i32.const 0x280))             (data (i32.const 0x280) "                     \n\00")

    ;; The page, just as the browser gets it: it has no double quote and no backslash, so nothing here is escaped.
    ;; It may grow up to $heap, that is to 16 KiB.
    (global $page i32 (i32.const 0x1000))
    (data (i32.const 0x1000)
      "<!doctype html>\n"
      "<html lang=en>\n"
      "<meta charset=utf-8>\n"
      "<meta name=viewport content='width=device-width, initial-scale=1'>\n"
      "<meta name=color-scheme content='light dark'>\n"
      "<title>wasgun at work</title>\n"
      "<link rel=icon href='data:,'>\n"
      "<style>\n"
      ":root { --bg: #f6f5f2; --card: #fff; --ink: #1e1c24; --dim: #67636f; --line: #e3e0d9; --hi: #5a43dd; --on: #fff; --glow: #dcd5ff }\n"
      "@media (prefers-color-scheme: dark) {\n"
      "  :root { --bg: #131217; --card: #1c1b22; --ink: #edebf2; --dim: #a09cab; --line: #302e39; --hi: #a294ff; --on: #17141f; --glow: #362e69 }\n"
      "}\n"
      "* { box-sizing: border-box }\n"
      "body { margin: 0; background: var(--bg); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }\n"
      "main { max-width: 60rem; margin: auto; padding: clamp(1.25rem, 4vw, 3rem) clamp(1rem, 4vw, 2rem) }\n"
      "h1 { margin: 0; font-size: 1.9rem; letter-spacing: -.03em; line-height: 1.2 }\n"
      "h2 { margin: 2rem 0 .7rem; font-size: 1rem }\n"
      "p { margin: .6rem 0; max-width: 44rem }\n"
      ".dim, small { color: var(--dim); font-size: .85rem }\n"
      "small { display: block; min-height: 1.3rem }\n"
      "code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere }\n"
      ".bar { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: 1.2rem 0 }\n"
      "button { font: inherit; font-weight: 600; padding: .5rem 1.1rem; border-radius: .6rem; border: 1px solid var(--line); background: var(--card); color: inherit; cursor: pointer }\n"
      "button:hover { border-color: var(--hi) }\n"
      "button:disabled { opacity: .55; cursor: default }\n"
      "#burst { background: var(--hi); border-color: var(--hi); color: var(--on) }\n"
      ".row { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(11.2rem, 45%), 1fr)) }\n"
      ".card { background: var(--card); border: 1px solid var(--line); border-radius: .9rem; padding: .8rem 1rem; min-width: 0; font-variant-numeric: tabular-nums }\n"
      ".card b { display: block; font-size: 1.6rem; line-height: 1.35; letter-spacing: -.02em; white-space: nowrap }\n"
      ".card i { display: block; height: 4px; margin: .5rem 0 .15rem; border-radius: 2px; background: var(--line) }\n"
      ".card u { display: block; height: 100%; width: 0; border-radius: 2px; background: var(--hi); transition: width .3s }\n"
      "svg { display: block; width: 100%; height: 5.5rem; margin-bottom: .4rem }\n"
      ".warn { color: #c8452c }\n"
      "</style>\n"
      "<main>\n"
      "<h1>wasgun at work</h1>\n"
      "<p>This page keeps sending real requests: a worker process takes each, and a sandboxed WebAssembly instance\n"
      "<span id=life>made for that request alone answers it and is thrown away</span>.\n"
      "Each tile is a worker, and lights up when it answers.</p>\n"
      "<div class=bar>\n"
      "<button id=burst>Burst of 200</button>\n"
      "<button id=pause>Pause</button>\n"
      "<span id=say class=dim role=status></span>\n"
      "</div>\n"
      "<div class=row>\n"
      "<div class=card><small>Requests answered</small><b id=total>0</b><small id=rate></small></div>\n"
      "<div class=card><small>Instances seen</small><b id=made>0</b><small id=each></small></div>\n"
      "<div class=card><small>Last round trip</small><b id=last>–</b><small id=lastmid></small></div>\n"
      "<div class=card><small>Inside the guest</small><b id=own>–</b><small id=ownmid></small></div>\n"
      "</div>\n"
      "<h2>Workers</h2>\n"
      "<div class=row id=tiles></div>\n"
      "<p class=dim>A connection stays with its worker. This page asks six at a time, so your browser opens up to six connections, and at most six workers show.\n"
      "<span id=tip hidden>End one with <code id=kill></code> and watch: the master starts another, and its tile changes pid.</span></p>\n"
      "<h2>Round trip</h2>\n"
      "<div class=card>\n"
      "<svg id=plot viewBox='0 0 120 100' preserveAspectRatio=none role=img aria-label='Round trips of the last 120 requests'>\n"
      "<path id=bars fill=none stroke='var(--hi)' stroke-width=.7 />\n"
      "<path id=mid fill=none stroke='var(--ink)' stroke-dasharray='4 4' vector-effect=non-scaling-stroke />\n"
      "</svg>\n"
      "<small id=sum></small>\n"
      "</div>\n"
      "<p class=dim>The whole application is one text file, <code>hello.wat</code>. In a shell: <code id=curl></code></p>\n"
      "</main>\n"
      "<script>\n"
      "const $ = id => document.getElementById(id), put = (id, text) => $(id).textContent = text;\n"
      "const workers = new Map, trips = [], owns = [];\n"
      "let total = 0, made = 0, most = 0, paused = false, bursting = false, asking = 0, drawing = false;\n"
      "put('curl', 'curl -i ' + location.origin + '/now');\n"
      "\n"
      "const keep = (list, x) => { list.push(x); if (list.length > 1000) list.shift() };\n"
      "const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];\n"
      "const ms = x => x < 100 ? x.toFixed(1) + ' ms' : Math.round(x) + ' ms';\n"
      "const us = x => (x < 99.5e3 ? (x / 1e3).toPrecision(x < 9.95e3 ? 2 : 3) * 1 : Math.round(x / 1e3)) + ' µs';\n"
      "\n"
      "async function ask() {\n"
      "  asking++;\n"
      "  const t = performance.now();\n"
      "  try {\n"
      "    const a = await (await fetch('/now', { cache: 'no-store', signal: AbortSignal.timeout(5000) })).json();\n"
      "    note(a, performance.now() - t);\n"
      "    return true;\n"
      "  } catch (e) {\n"
      "    $('say').className = 'warn';\n"
      "    put('say', 'No answer: is the server still running? Asking again.');\n"
      "  } finally { asking-- }\n"
      "}\n"
      "\n"
      "// request is slot-pid-sequence; a host that sends no such header shows as one worker '?'.\n"
      "function note(a, trip) {\n"
      "  const [slot, pid] = (a.request || '?-?').split('-');\n"
      "  let w = workers.get(slot);\n"
      "  if (a.answered == 1 || !w) made++;\n"
      "  if (!w) workers.set(slot, w = tile(slot));\n"
      "  w.pids.add(w.pid = pid);\n"
      "  w.count++;\n"
      "  w.lit = true;\n"
      "  total++;\n"
      "  most = Math.max(most, a.answered);\n"
      "  keep(trips, trip);\n"
      "  keep(owns, a.ns);\n"
      "  if ($('say').className == 'warn') { $('say').className = 'dim'; put('say', '') }\n"
      "  if (!drawing) { drawing = true; requestAnimationFrame(draw) }\n"
      "}\n"
      "\n"
      "function tile(slot) {\n"
      "  const box = document.createElement('div');\n"
      "  box.className = 'card';\n"
      "  box.innerHTML = '<small></small><b></b><i><u></u></i><small></small>';\n"
      "  box.slot = slot;\n"
      "  const all = [...$('tiles').children];\n"
      "  $('tiles').insertBefore(box, all.find(b => +b.slot > +slot) || null);\n"
      "  return { box, slot, count: 0, pids: new Set };\n"
      "}\n"
      "\n"
      "function draw() {\n"
      "  drawing = false;\n"
      "  for (const w of workers.values()) {\n"
      "    const [name, count, bar, foot] = w.box.children, share = 100 * w.count / total;\n"
      "    name.textContent = 'worker ' + w.slot + ' · pid ' + w.pid;\n"
      "    count.textContent = w.count;\n"
      "    bar.firstChild.style.width = share + '%';\n"
      "    foot.textContent = Math.round(share) + ' %' + (w.pids.size > 1 ? ', ' + w.pids.size + ' pids so far' : '');\n"
      "    if (w.lit) w.box.animate([{ background: 'var(--glow)', borderColor: 'var(--hi)' }, {}], 700);\n"
      "    w.lit = false;\n"
      "  }\n"
      "  const first = workers.values().next().value, mid = quantile(trips, .5), p99 = quantile(trips, .99);\n"
      "  put('kill', 'kill -9 ' + first.pid);\n"
      "  $('tip').hidden = first.pid == '?';\n"
      "  put('total', total);\n"
      "  put('rate', 'by ' + workers.size + (workers.size > 1 ? ' workers' : ' worker'));\n"
      "  put('made', made);\n"
      "  put('each', most > 1 ? 'one answered ' + most + ' requests' : 'one request each');\n"
      "  if (most > 1) put('life', 'answers it and is kept for more');\n"
      "  put('last', ms(trips.at(-1)));\n"
      "  put('lastmid', 'median ' + ms(mid));\n"
      "  put('own', us(owns.at(-1)));\n"
      "  put('ownmid', 'median ' + us(quantile(owns, .5)));\n"
      "  put('sum', 'median ' + ms(mid) + ' (dashed) · p99 ' + ms(p99));\n"
      "  const shown = trips.slice(-120), top = Math.max(quantile(shown, .98) * 1.1, mid * 2), y = x => 100 - 96 * Math.min(1, x / top);\n"
      "  $('bars').setAttribute('d', shown.map((x, i) => 'M' + (120.5 - shown.length + i) + ' 100V' + y(x).toFixed(1)).join(''));\n"
      "  $('mid').setAttribute('d', 'M0 ' + y(mid).toFixed(1) + 'H120');\n"
      "}\n"
      "\n"
      "$('pause').onclick = () => { paused = !paused; put('pause', paused ? 'Resume' : 'Pause') };\n"
      "\n"
      "$('burst').onclick = async () => {\n"
      "  bursting = $('burst').disabled = true;\n"
      "  const from = performance.now(), before = made;\n"
      "  let left = 200, done = 0;\n"
      "  const lane = async () => { while (left-- > 0) if (await ask()) done++; else break };\n"
      "  await Promise.all([1, 2, 3, 4, 5, 6].map(lane));\n"
      "  const took = performance.now() - from;\n"
      "  if (done) put('say', done + ' answers in ' + Math.round(took) + ' ms by ' + (made - before) + ' new instances');\n"
      "  bursting = $('burst').disabled = false;\n"
      "};\n"
      "\n"
      "// Six at once, so that six connections are in use; not while the last six are under way or nobody looks.\n"
      "function beat() {\n"
      "  if (!paused && !bursting && !asking && !document.hidden) for (let i = 0; i < 6; i++) ask();\n"
      "}\n"
      "beat();\n"
      "setInterval(beat, 800);\n"
      "</script>\n"
      "\00"))

  ;; ---- The ties ------------------------------------------------------------------------------------------------
  ;; Each import as a core function. Those that take or give a string, a list or a result are told the memory;
  ;; those that give a string or a list, also where to find room for it.

  (core func $now (canon lower (func $clock "now")))
  (core func $fields (canon lower (func $http "[constructor]fields")))
  (core func $fields.from-list (canon lower (func $http "[static]fields.from-list") (memory $mem)))
  (core func $fields.get (canon lower (func $http "[method]fields.get") (memory $mem) (realloc $realloc)))
  (core func $fields.drop (canon resource.drop $fields))
  (core func $request.path
    (canon lower (func $http "[method]incoming-request.path-with-query") (memory $mem) (realloc $realloc)))
  (core func $request.headers (canon lower (func $http "[method]incoming-request.headers")))
  (core func $request.drop (canon resource.drop $incoming-request))
  (core func $response (canon lower (func $http "[constructor]outgoing-response")))
  (core func $response.set-status (canon lower (func $http "[method]outgoing-response.set-status-code")))
  (core func $response.body (canon lower (func $http "[method]outgoing-response.body") (memory $mem)))
  (core func $outparam.set (canon lower (func $http "[static]response-outparam.set") (memory $mem)))
  (core func $body.write (canon lower (func $http "[method]outgoing-body.write") (memory $mem)))
  (core func $body.finish
    (canon lower (func $http "[static]outgoing-body.finish") (memory $mem) (realloc $realloc)))
  (core func $stream.write
    (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
  (core func $stream.drop (canon resource.drop $output-stream))
  (core func $error.drop (canon resource.drop $error))

  (core instance $program (instantiate $Program
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "now" (func $now))
      (export "fields" (func $fields))
      (export "fields.from-list" (func $fields.from-list))
      (export "fields.get" (func $fields.get))
      (export "fields.drop" (func $fields.drop))
      (export "request.path" (func $request.path))
      (export "request.headers" (func $request.headers))
      (export "request.drop" (func $request.drop))
      (export "response" (func $response))
      (export "response.set-status" (func $response.set-status))
      (export "response.body" (func $response.body))
      (export "outparam.set" (func $outparam.set))
      (export "body.write" (func $body.write))
      (export "body.finish" (func $body.finish))
      (export "stream.write" (func $stream.write))
      (export "stream.drop" (func $stream.drop))
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
