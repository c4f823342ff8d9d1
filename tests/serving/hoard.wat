  ;; The middle of a component whose begin and end are those of guests/hello.wat; secrecy.rs puts it together. It
  ;; looks through all that an instance has for what an earlier one may have left, fills all of that, and answers with
  ;; what it has found.

  (core module $Hoard
    ;; Up to 0x1000 is what the answer needs. Each word of the content is a multiple of its address.
    (memory (export "memory") {PAGES})
    (data (i32.const 0x1000) "{CONTENT}")
    (data $spare-bytes "spare!!!")

    (type $word (func (result i64)))
    (func $seven (type $word) (i64.const 7))
    (func $secret (type $word) (i64.const {SECRET}))
    (table $table {ELEMENTS} funcref)
    (elem (i32.const 8) func $seven)
    (elem $spare-functions func $seven)
    (elem declare func $secret)

    (global $i32 (mut i32) (i32.const 32))
    (global $i64 (mut i64) (i64.const {I64}))
    (global $f64 (mut f64) (f64.const 6.4))

    ;; For the path, and it alone.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x800))

    (func $end (result i32) (i32.shl (memory.size) (i32.const 16)))

    ;; Words from $at on that hold the secret, and others that are not as at first.
    (func $words (param $at i32) (result i32 i32)
      (local $word i64) (local $secrets i32) (local $others i32)
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $at) (call $end)))
          (local.set $word (i64.load (local.get $at)))
          (if (i64.eq (local.get $word) (i64.const {SECRET}))
            (then (local.set $secrets (i32.add (local.get $secrets) (i32.const 1))))
            (else
              (if (i64.ne (local.get $word)
                  (select
                    (i64.mul (i64.extend_i32_u (local.get $at)) (i64.const {FACTOR}))
                    (i64.const 0)
                    (i32.lt_u (i32.sub (local.get $at) (i32.const 0x1000)) (i32.const {LENGTH}))))
                (then (local.set $others (i32.add (local.get $others) (i32.const 1)))))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br $next)))
      (local.get $secrets) (local.get $others))

    ;; Elements of the table that are not as at first.
    (func $elements (result i32)
      (local $at i32) (local $word i64) (local $changed i32)
      (loop $next
        (local.set $word
          (if (result i64) (ref.is_null (table.get $table (local.get $at)))
            (then (i64.const 0))
            (else (call_indirect $table (type $word) (local.get $at)))))
        (if (i64.ne (local.get $word)
            (select (i64.const 7) (i64.const 0) (i32.eq (local.get $at) (i32.const 8))))
          (then (local.set $changed (i32.add (local.get $changed) (i32.const 1)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (table.size $table))))
      (local.get $changed))

    ;; Words of the memory, globals (a bit each), elements, size of the memory and of the table.
    (func (export "hunt") (result i32 i32 i32 i32 i32 i32)
      (call $words (i32.const 0))
      (i32.ne (global.get $i32) (i32.const 32))
      (i32.shl (i64.ne (global.get $i64) (i64.const 64)) (i32.const 1))
      (i32.shl (f64.ne (global.get $f64) (f64.const 6.4)) (i32.const 2))
      (i32.or) (i32.or)
      (call $elements)
      (memory.size)
      (table.size $table))

    ;; Traps if one of the segments is gone: there is no other way to ask for them.
    (func (export "segments") (result i32)
      (memory.init $spare-bytes (i32.const 0x80) (i32.const 0) (i32.const 8))
      (i32.and
        (i64.eq (i64.load (i32.const 0x80)) (i64.const 0x2121216572617073)) ;; spare!!!
        (call $elements-are-spare)))

    (func (export "beyond") (result i32) (i32.load (call $end)))

    ;; What growing says, and the words of what is new that are not 0.
    (func (export "grow") (param $pages i32) (result i32 i32)
      (local $begin i32)
      (local.set $begin (call $end))
      (memory.grow (local.get $pages))
      (call $words (local.get $begin))
      (i32.add))

    {TABLES}

    ;; Every $stride-th page, every global and every element; $amid: 1 traps, 2 never ends.
    (func (export "fill") (param $stride i32) (param $amid i32)
      (local $page i32) (local $at i32)
      (global.set $i32 (i32.wrap_i64 (i64.const {SECRET})))
      (global.set $i64 (i64.const {SECRET}))
      (global.set $f64 (f64.reinterpret_i64 (i64.const {SECRET})))
      (call $fill-table)
      (loop $next
        (local.set $at (select (i32.shl (local.get $page) (i32.const 12)) (i32.const 0x200) (local.get $page)))
        (if (i32.eqz (i32.rem_u (local.get $page) (local.get $stride)))
          (then
            (loop $word
              (i64.store (local.get $at) (i64.const {SECRET}))
              (local.set $at (i32.add (local.get $at) (i32.const 8)))
              (br_if $word (i32.and (local.get $at) (i32.const 0xfff))))))
        (local.set $page (i32.add (local.get $page) (i32.const 1)))
        (if (i32.eq (local.get $page) (i32.shl (memory.size) (i32.const 3)))
          (then
            (if (i32.eq (local.get $amid) (i32.const 1)) (then (unreachable)))
            (loop $ever (br_if $ever (i32.eq (local.get $amid) (i32.const 2))))))
        (br_if $next (i32.lt_u (local.get $page) (i32.shl (memory.size) (i32.const 4)))))))

  {ANOTHER}
  (core instance $hoard (instantiate $Hoard))
  (alias core export $hoard "memory" (core memory $mem))
  (alias core export $hoard "realloc" (core func $realloc))

  (core module $Program
    (import "hoard" "memory" (memory 1))
    (import "hoard" "hunt" (func $hunt (result i32 i32 i32 i32 i32 i32)))
    (import "hoard" "segments" (func $segments (result i32)))
    (import "hoard" "drop" (func $drop))
    (import "hoard" "beyond" (func $beyond (result i32)))
    (import "hoard" "grow" (func $grow (param i32) (result i32 i32)))
    (import "hoard" "lengthen" (func $lengthen (param i32) (result i32)))
    (import "hoard" "fill" (func $fill (param i32 i32)))
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "fields.from-list" (func $fields.from-list (param i32 i32 i32)))
    (import "host" "request.path" (func $request.path (param i32 i32)))
    (import "host" "response" (func $response (param i32) (result i32)))
    (import "host" "response.body" (func $response.body (param i32 i32)))
    (import "host" "outparam.set" (func $outparam.set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (import "host" "body.write" (func $body.write (param i32 i32)))
    (import "host" "body.finish" (func $body.finish (param i32 i32 i32 i32)))
    (import "host" "stream.write" (func $stream.write (param i32 i32 i32 i32)))
    (import "host" "stream.drop" (func $stream.drop (param i32)))

    ;; The next number of the path, which is read from $cursor on.
    (global $cursor (mut i32) (i32.const 0))
    (func $number (result i32)
      (local $digit i32) (local $number i32)
      (loop $next
        (local.set $digit (i32.sub (i32.load8_u (global.get $cursor)) (i32.const 0x30)))
        (global.set $cursor (i32.add (global.get $cursor) (i32.const 1)))
        (if (i32.lt_u (local.get $digit) (i32.const 10))
          (then
            (local.set $number (i32.add (i32.mul (local.get $number) (i32.const 10)) (local.get $digit)))
            (br $next))))
      (local.get $number))

    ;; Puts the secret into the host's table, $count times; the handle of the first.
    (func $leak (param $count i32) (result i32)
      (local $first i32)
      (i32.store (i32.const 0x40) (i32.const 0x60))
      (i32.store (i32.const 0x44) (i32.const 1))
      (i32.store (i32.const 0x48) (i32.const 0x68))
      (i32.store (i32.const 0x4c) (i32.const 8))
      (i32.store8 (i32.const 0x60) (i32.const 0x78))
      (i64.store (i32.const 0x68) (i64.const {SECRET}))
      (local.set $first (call $fields))
      (loop $next
        (call $fields.from-list (i32.const 0x40) (i32.const 1) (i32.const 0x10))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br_if $next (i32.gt_s (local.get $count) (i32.const 0))))
      (local.get $first))

    ;; The path is /STRIDE/GROW/LENGTHEN/DROP/LEAK/ACT/.
    (func (export "handle") (param $request i32) (param $out i32)
      (local $secrets i32) (local $others i32) (local $globals i32) (local $elements i32) (local $size i32)
      (local $table-size i32) (local $stride i32) (local $act i32) (local $body i32) (local $stream i32)
      (call $hunt)
      (local.set $table-size)
      (local.set $size)
      (local.set $elements)
      (local.set $globals)
      (local.set $others)
      (local.set $secrets)
      (i32.store (i32.const 0x100) (local.get $secrets))
      (i32.store (i32.const 0x104) (local.get $others))
      (i32.store (i32.const 0x108) (local.get $globals))
      (i32.store (i32.const 0x10c) (local.get $elements))
      (i32.store (i32.const 0x110) (local.get $size))
      (i32.store (i32.const 0x114) (local.get $table-size))
      (i32.store (i32.const 0x118) (call $segments))

      (call $request.path (local.get $request) (i32.const 0x10))
      (global.set $cursor (i32.add (i32.load (i32.const 0x14)) (i32.const 1)))
      (local.set $stride (call $number))
      (call $grow (call $number))
      (local.set $others)
      (local.set $size)
      (i32.store (i32.const 0x11c) (local.get $others))
      (i32.store (i32.const 0x120) (local.get $size))
      (i32.store (i32.const 0x124) (call $lengthen (call $number)))
      (if (call $number) (then (call $drop)))
      (i32.store (i32.const 0x128) (call $leak (call $number)))
      (local.set $act (call $number))
      (if (i32.eq (local.get $act) (i32.const 3)) (then (drop (call $beyond))))
      (call $fill (local.get $stride) (local.get $act))

      (local.set $body (call $response (call $fields)))
      (call $response.body (local.get $body) (i32.const 0x10))
      (call $outparam.set (local.get $out) (i32.const 0) (local.get $body)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (local.set $body (i32.load (i32.const 0x14)))
      (call $body.write (local.get $body) (i32.const 0x10))
      (local.set $stream (i32.load (i32.const 0x14)))
      (call $stream.write (local.get $stream) (i32.const 0x100) (i32.const 0x2c) (i32.const 0x10))
      (loop $ever (br_if $ever (i32.eq (local.get $act) (i32.const 4))))
      (call $stream.drop (local.get $stream))
      (call $body.finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 0x10))))

  (core func $fields (canon lower (func $http "[constructor]fields")))
  (core func $fields.from-list (canon lower (func $http "[static]fields.from-list") (memory $mem)))
  (core func $request.path
    (canon lower (func $http "[method]incoming-request.path-with-query") (memory $mem) (realloc $realloc)))
  (core func $response (canon lower (func $http "[constructor]outgoing-response")))
  (core func $response.body (canon lower (func $http "[method]outgoing-response.body") (memory $mem)))
  (core func $outparam.set (canon lower (func $http "[static]response-outparam.set") (memory $mem)))
  (core func $body.write (canon lower (func $http "[method]outgoing-body.write") (memory $mem)))
  (core func $body.finish
    (canon lower (func $http "[static]outgoing-body.finish") (memory $mem) (realloc $realloc)))
  (core func $stream.write
    (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
  (core func $stream.drop (canon resource.drop $output-stream))

  (core instance $program (instantiate $Program
    (with "hoard" (instance $hoard))
    (with "host" (instance
      (export "fields" (func $fields))
      (export "fields.from-list" (func $fields.from-list))
      (export "request.path" (func $request.path))
      (export "response" (func $response))
      (export "response.body" (func $response.body))
      (export "outparam.set" (func $outparam.set))
      (export "body.write" (func $body.write))
      (export "body.finish" (func $body.finish))
      (export "stream.write" (func $stream.write))
      (export "stream.drop" (func $stream.drop))))))

