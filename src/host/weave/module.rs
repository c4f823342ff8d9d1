//! What a module gets: functions that save its globals and put them back, and one that
//! says how large its memory is.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, bail};
use wasm_encoder::{
    ConstExpr, Encode, ExportKind, Function, GlobalType, Module, RawSection, SectionId, ValType,
};
use wasmparser::{BinaryReader, Operator, Payload, TypeRef};

use super::super::sections::sections;

/// The names of what modules get.
pub(super) const SAVE_GLOBALS: &str = "wasgun:save";
pub(super) const PUT_GLOBALS_BACK: &str = "wasgun:rewind";
pub(super) const TELL_MEMORY_SIZE: &str = "wasgun:memory-size";

/// What there is in a module.
#[derive(Default)]
pub(super) struct ModuleFacts {
    /// Where it is.
    pub range: Range<usize>,
    types: u32,
    functions: u32,
    globals: u32,
    /// Those that the module defines and that can change.
    pub mutable: Vec<(u32, ValType)>,
    pub has_memory: bool,
}

impl ModuleFacts {
    /// Of a module that has yet to be read.
    pub fn at(range: Range<usize>) -> Self {
        Self { range, ..Self::default() }
    }

    fn needs_functions(&self) -> bool {
        self.has_memory || !self.mutable.is_empty()
    }

    /// Notes what the parser has found in it.
    ///
    /// # Errors
    /// It may change in ways that cannot be undone.
    pub fn note(&mut self, payload: Payload) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.types += group?.types().len() as u32;
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.functions += 1,
                        TypeRef::Global(_) => self.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => self.functions += section.count(),
            Payload::MemorySection(section) => self.has_memory |= section.count() > 0,
            Payload::GlobalSection(section) => {
                for global in section {
                    let ty = global?.ty;
                    if ty.mutable {
                        self.mutable.push((self.globals, saved_type(ty.content_type)?));
                    }
                    self.globals += 1;
                }
            }
            Payload::CodeSectionEntry(body) => {
                let mut operators = body.get_operators_reader()?;
                while !operators.eof() {
                    leaves_tables_alone(&operators.read()?)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The module with its functions for the caller.
    pub fn with_functions(&self, module: &[u8]) -> Result<Vec<u8>> {
        if !self.needs_functions() {
            return Ok(module.to_vec());
        }
        let mut new = Additions::default();
        if !self.mutable.is_empty() {
            let mut globals = Vec::new();
            let (mut save, mut put_back) = (Function::new([]), Function::new([]));
            for (copy, (global, ty)) in (self.globals..).zip(&self.mutable) {
                GlobalType { val_type: *ty, mutable: true, shared: false }.encode(&mut globals);
                zero(*ty)?.encode(&mut globals);
                save.instructions().global_get(*global).global_set(copy);
                put_back.instructions().global_get(copy).global_set(*global);
            }
            new.items(SectionId::Global, self.mutable.len(), &globals);
            for (name, mut function) in [(SAVE_GLOBALS, save), (PUT_GLOBALS_BACK, put_back)] {
                function.instructions().end();
                new.function(self, name, &function);
            }
        }
        if self.has_memory {
            let mut size = Function::new([]);
            // Growing by nothing has the runtime ask the host how large the memory is.
            size.instructions().i32_const(0).memory_grow(0).drop().memory_size(0).end();
            new.function(self, TELL_MEMORY_SIZE, &size);
        }
        // Functions of nothing that return nothing, and a number (Core specification, 5.3.6).
        new.items(SectionId::Type, 2, &[0x60, 0, 0, 0x60, 0, 1, 0x7f]);
        new.add_to(module)
    }
}

/// Items for the end of sections: how many of each, and what they are.
#[derive(Default)]
struct Additions(BTreeMap<u8, (u32, Vec<u8>)>);

impl Additions {
    fn items(&mut self, section: SectionId, count: usize, bytes: &[u8]) {
        let (counted, all) = self.0.entry(section as u8).or_default();
        *counted += count as u32;
        all.extend_from_slice(bytes);
    }

    fn function(&mut self, module: &ModuleFacts, name: &str, function: &Function) {
        let added = self.0.get(&(SectionId::Function as u8)).map_or(0, |(count, _)| *count);
        let index = module.functions + added;
        let returns_number = u32::from(name == TELL_MEMORY_SIZE);
        let mut bytes = Vec::new();
        (module.types + returns_number).encode(&mut bytes);
        self.items(SectionId::Function, 1, &bytes);
        bytes.clear();
        function.encode(&mut bytes);
        self.items(SectionId::Code, 1, &bytes);
        bytes.clear();
        name.encode(&mut bytes);
        ExportKind::Func.encode(&mut bytes);
        index.encode(&mut bytes);
        self.items(SectionId::Export, 1, &bytes);
    }

    /// The module with all of them; what has no section yet gets one.
    fn add_to(mut self, module: &[u8]) -> Result<Vec<u8>> {
        let mut extended = Module::new();
        for (id, range) in sections(module)? {
            let behind = place(id);
            let missing = self.0.keys().copied().filter(|id| place(*id) < behind);
            for id in missing.collect::<Vec<_>>() {
                self.add(&mut extended, id, &[0])?;
            }
            self.add(&mut extended, id, &module[range])?;
        }
        for id in self.0.keys().copied().collect::<Vec<_>>() {
            self.add(&mut extended, id, &[0])?;
        }
        Ok(extended.finish())
    }

    /// A section that is there, with what is to be added to it.
    fn add(&mut self, module: &mut Module, id: u8, section: &[u8]) -> Result<()> {
        let Some((count, items)) = self.0.remove(&id) else {
            module.section(&RawSection { id, data: section });
            return Ok(());
        };
        let mut reader = BinaryReader::new(section, 0);
        let before = reader.read_var_u32()?;
        let mut data = Vec::new();
        (before + count).encode(&mut data);
        data.extend_from_slice(&section[reader.original_position()..]);
        data.extend_from_slice(&items);
        module.section(&RawSection { id, data: &data });
        Ok(())
    }
}

/// Where a section stands among the others; their numbers do not say it of all (Core
/// specification, 5.5.2). Those of no place are left where they are.
fn place(id: u8) -> u8 {
    const CUSTOM: u8 = SectionId::Custom as u8;
    const DATA_COUNT: u8 = SectionId::DataCount as u8;
    const CODE: u8 = SectionId::Code as u8;
    match id {
        CUSTOM => 0,
        DATA_COUNT => 2 * CODE - 1,
        id => 2 * id,
    }
}

fn saved_type(ty: wasmparser::ValType) -> Result<ValType> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(_) => bail!("it has a global that refers to something"),
    })
}

fn zero(ty: ValType) -> Result<ConstExpr> {
    Ok(match ty {
        ValType::I32 => ConstExpr::i32_const(0),
        ValType::I64 => ConstExpr::i64_const(0),
        ValType::F32 => ConstExpr::f32_const(0.0.into()),
        ValType::F64 => ConstExpr::f64_const(0.0.into()),
        ValType::V128 => ConstExpr::v128_const(0),
        ValType::Ref(_) => bail!("a reference is not saved"),
    })
}

fn leaves_tables_alone(operator: &Operator) -> Result<()> {
    match operator {
        Operator::TableSet { .. }
        | Operator::TableGrow { .. }
        | Operator::TableFill { .. }
        | Operator::TableCopy { .. }
        | Operator::TableInit { .. }
        | Operator::ElemDrop { .. }
        | Operator::DataDrop { .. } => bail!("it can change a table, or drop a segment"),
        _ => Ok(()),
    }
}
