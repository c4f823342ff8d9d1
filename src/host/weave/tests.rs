//! Tests of what is woven, and what is not.

use super::*;

/// The begin of any component that is served.
const HTTP: &str = r#"
    (import "wasi:http/types@0.2.0" (instance $http
        (export "fields" (type (sub resource)))
        (export "incoming-request" (type (sub resource)))))"#;

/// Weaves a component with this text, and has the outcome validated.
fn woven(text: &str) -> Result<Vec<u8>> {
    let woven = weave(&wat::parse_str(format!("(component {HTTP} {text})")).unwrap())?;
    wasmparser::validate(&woven).unwrap();
    Ok(woven)
}

#[track_caller]
fn assert_refused(text: &str, why: &str) {
    let error = format!("{:#}", woven(text).expect_err(text));
    assert!(error.contains(why), "{text}: {error}");
}

const MEMORY: &str = "(core module $m (memory 1)) (core instance (instantiate $m))";

#[test]
fn components_of_any_shape_stay_valid() {
    for text in [
        MEMORY,
        // Each section of a module, or none.
        r#"(core module $m
            (type $t (func (param i32)))
            (import "a" "f" (func (type $t)))
            (import "a" "g" (global (mut i64)))
            (func $g (export "run") (type $t) (drop (global.get 1)))
            (table (export "t") 2 funcref)
            (memory (export "m") 1)
            (global (mut i32) (i32.const 1)) (global f32 (f32.const 1)) (global (mut v128) (v128.const i64x2 1 2))
            (global (mut f64) (f64.const 1)) (global $e (export "e") (mut f32) (f32.const 1))
            (start $s) (func $s)
            (elem (i32.const 0) $g)
            (data $d "x") (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))))
        (core module $a (func (export "f") (param i32)) (global (export "g") (mut i64) (i64.const 0)))
        (core module $empty)
        (core module $twice (global (mut i32) (i32.const 0)))
        (core instance $a (instantiate $a))
        (core instance $m (instantiate $m (with "a" (instance $a))))
        (core instance (instantiate $empty))
        (core instance (instantiate $twice))
        (core instance (instantiate $twice))
        (alias core export $m "run" (core func $run))
        (func $lifted (param "x" u32) (canon lift (core func $run)))
        (export $exported "run" (func $lifted))
        (alias export $http "fields" (type $fields))
        (type $own (own $fields))
        (component $c (import "f" (func $f (param "x" u32))) (export "g" (func $f)))
        (instance $i (instantiate $c (with "f" (func $exported))))
        (alias export $i "g" (func $g))
        (export "again" (func $g))"#,
    ] {
        let woven = woven(text).unwrap();
        assert!(weave(&woven).is_err(), "it is not woven twice");
    }
}

#[test]
fn without_fields_there_are_none_to_drop() {
    let without = HTTP.replace(r#"(export "fields" (type (sub resource)))"#, "");
    let component = wat::parse_str(format!("(component {without} {MEMORY})")).unwrap();
    wasmparser::validate(&weave(&component).unwrap()).unwrap();
}

#[test]
fn what_can_change_in_other_ways_is_refused() {
    let with = |module: &str, why: &str| {
        assert_refused(
            &format!("(core module $m (memory 1) {module}) (core instance (instantiate $m))"),
            why,
        );
    };
    for operator in [
        "(table.set $t (i32.const 0) (ref.null func))",
        "(drop (table.grow $t (ref.null func) (i32.const 1)))",
        "(table.fill $t (i32.const 0) (ref.null func) (i32.const 0))",
        "(table.copy $t $t (i32.const 0) (i32.const 0) (i32.const 0))",
        "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0))",
        "(elem.drop $e)",
        "(data.drop $d)",
    ] {
        with(
            &format!(
                r#"(table $t 1 funcref) (elem $e func) (data $d "x") (func (if (i32.const 1) (then {operator})))"#
            ),
            "a table",
        );
    }
    with("(global (mut funcref) (ref.null func))", "refers");
    with("(type (array i8))", "not understood");
    with(r#"(global (mut i32) (i32.const 0)) (func (export "wasgun:save"))"#, "wasgun:save");
    with("(tag (param i32)) (func (throw 0 (i32.const 1)))", "not understood");
    with("(memory 1)", "not understood");
    with("(table 1 externref)", "not understood");
    assert_refused("", "0 memories");
    assert_refused("(core module $m (memory 1))", "0 memories");
    let also = |text: &str, why: &str| assert_refused(&format!("{MEMORY} {text}"), why);
    also("(type (resource (rep i32)))", "resources of its own");
    also("(core instance (instantiate $m))", "2 memories");
    also("(component (core module))", "nested");
    also("(core func (canon task.cancel))", "not understood");
    also(r#"(import "m" (core module))"#, "elsewhere");
}

#[test]
fn nobody_else_can_use_what_is_added() {
    // It is the second global, and the second function.
    for body in ["(global.set 1 (i32.const 42))", "(call 1)"] {
        let module = format!("(core module $m (memory 1) (global (mut i32) (i32.const 0)) (func {body}))");
        assert_refused(&format!("{module} (core instance (instantiate $m))"), "unknown");
    }
    for name in ["wasgun-save", "WASGUN-REWIND"] {
        assert_refused(&format!(r#"{MEMORY} (export "{name}" (instance $http))"#), "does not fit");
    }
}

#[test]
fn the_request_is_of_the_import_that_has_it() {
    let another = r#"(import "wasi:http/types@0.2.4" (instance (export "fields" (type (sub resource)))))"#;
    woven(&format!("{another} {MEMORY}")).unwrap();
    let component = wat::parse_str(format!("(component {another} {HTTP} {MEMORY})")).unwrap();
    weave(&component).unwrap();
}

#[test]
fn a_component_that_serves_nothing_is_refused() {
    let component = wat::parse_str(format!("(component {MEMORY})")).unwrap();
    assert!(weave(&component).unwrap_err().to_string().contains("wasi:http/types"));
    assert!(weave(b"\0asm").is_err());
}
