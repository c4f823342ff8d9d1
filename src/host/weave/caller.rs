//! The module that a component gets: it calls what the others got.

use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Module, TypeSection, ValType,
};

use super::{MOST_HANDLES, REWIND, SAVE};

/// What all its imports are of.
pub(super) const INSTANCE: &str = "it";

/// Imports that any component has for it, besides those of its modules.
pub(super) const MEMORY_SIZE: &str = "memory-size";
pub(super) const NEW: &str = "new";
pub(super) const DROP: &str = "drop";
pub(super) const DROP_REQUEST: &str = "drop-request";
pub(super) const DROP_FIELDS: &str = "drop-fields";

/// The names of the functions that save the globals of an instance, and put them back.
pub(super) fn of_globals(instance: usize) -> [String; 2] {
    [format!("save{instance}"), format!("rewind{instance}")]
}

/// The module, for a component of which so many instances have globals.
pub(super) fn caller(instances_with_globals: usize) -> Module {
    let mut types = TypeSection::new();
    let [nothing, number, taking, both, rewinding] = [0, 1, 2, 3, 4];
    types.ty().function([], []);
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I32; 3], [ValType::I32]);
    let mut imports = ImportSection::new();
    let mut imported = 0;
    let mut import = |name: &str, ty| {
        imports.import(INSTANCE, name, EntityType::Function(ty));
        imported += 1;
        imported - 1
    };
    let (mut save, mut put_back) = (Function::new([]), Vec::new());
    for instance in 0..instances_with_globals {
        let [of_save, of_rewind] = of_globals(instance);
        save.instructions().call(import(&of_save, nothing));
        put_back.push(import(&of_rewind, nothing));
    }
    save.instructions().end();
    let memory_size = import(MEMORY_SIZE, number);
    let new = import(NEW, both);
    let [drop, drop_request, drop_fields] =
        [DROP, DROP_REQUEST, DROP_FIELDS].map(|name| import(name, taking));

    let [handles, request, fields, free, kept] = [0, 1, 2, 3, 4];
    let mut rewind = Function::new([(1, ValType::I32), (1, ValType::I64)]);
    let mut code = rewind.instructions();
    for function in put_back {
        code.call(function);
    }
    code.block(BlockType::Empty).local_get(handles).i32_eqz().br_if(0);
    // The request was the first to get a handle.
    code.local_get(request).if_(BlockType::Empty).i32_const(1).call(drop_request).end();
    // Whatever is free is taken, in whatever order it comes; the others are left in `kept`.
    code.i64_const(-1)
        .i32_const(MOST_HANDLES.cast_signed())
        .local_get(handles)
        .i32_sub()
        .i64_extend_i32_u()
        .i64_shr_u()
        .local_set(kept);
    code.local_get(handles).local_get(fields).i32_sub().local_set(free);
    code.block(BlockType::Empty).local_get(free).i32_eqz().br_if(0).loop_(BlockType::Empty);
    code.local_get(kept);
    code.i64_const(1).i32_const(0).call(new).i32_const(1).i32_sub().i64_extend_i32_u().i64_shl();
    code.i64_xor().local_set(kept);
    code.local_get(free).i32_const(1).i32_sub().local_tee(free).br_if(0).end().end();
    // Those are fields: they go, and their handles are taken too.
    code.block(BlockType::Empty).local_get(fields).i32_eqz().br_if(0).loop_(BlockType::Empty);
    code.local_get(kept).i64_ctz().i32_wrap_i64().i32_const(1).i32_add().call(drop_fields);
    code.local_get(kept).local_get(kept).i64_const(1).i64_sub().i64_and().local_set(kept);
    code.i32_const(0).call(new).drop();
    code.local_get(fields).i32_const(1).i32_sub().local_tee(fields).br_if(0).end().end();
    // What is given back last will be given out first.
    code.loop_(BlockType::Empty).local_get(handles).call(drop);
    code.local_get(handles).i32_const(1).i32_sub().local_tee(handles).br_if(0).end();
    code.end().call(memory_size).end();

    let mut functions = FunctionSection::new();
    functions.function(nothing).function(rewinding);
    let mut exports = ExportSection::new();
    exports.export(SAVE, ExportKind::Func, imported).export(REWIND, ExportKind::Func, imported + 1);
    let mut bodies = CodeSection::new();
    bodies.function(&save).function(&rewind);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&exports).section(&bodies);
    module
}
