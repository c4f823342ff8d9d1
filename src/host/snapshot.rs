//! The initial content of a component's memory, taken out of the component when it
//! is compiled: the host keeps memories ready that hold it.

use std::ops::Range;

use anyhow::Result;
use wasm_encoder::{Component, DataSection, Module, RawSection, SectionId};
use wasmparser::{
    ComponentAlias, ComponentOuterAliasKind, ComponentTypeRef, CompositeInnerType, DataKind,
    DataSectionReader, Instance, MemoryType, Operator, Parser, Payload, TypeRef,
};

use super::engine::WASM_PAGE;
use super::sections::sections;

/// Content that may be mostly holes, in bytes; beyond it, half has to be data, or
/// the artifact would be larger than the component by far.
const SPARSE: usize = 16 << 20;

/// A component without the content of its memory.
pub(super) struct Snapshot {
    /// The component, with empty data segments in place of the active ones.
    pub component: Vec<u8>,
    /// What its only memory holds at first, from address 0; zeros follow.
    pub memory: Vec<u8>,
}

/// Takes the content out, if the guest cannot tell the difference: the component has
/// one memory, in a module of its top level that is instantiated once, and its content
/// depends on nothing. What is not understood is left alone; the compiler has more to
/// say about it.
pub(super) fn take(component: &[u8]) -> Option<Snapshot> {
    try_take(component).ok().flatten()
}

fn try_take(component: &[u8]) -> Result<Option<Snapshot>> {
    let Some(holder) = find_holder(component)? else { return Ok(None) };
    let Some(memory) = content(&holder)? else { return Ok(None) };
    let mut stripped = Component::new();
    for (id, range) in sections(component)? {
        if range == holder.module {
            let module = without_content(&component[range])?;
            stripped.section(&RawSection { id, data: &module });
        } else {
            stripped.section(&RawSection { id, data: &component[range] });
        }
    }
    Ok(Some(Snapshot { component: stripped.finish(), memory }))
}

/// The module that has the memory.
struct Holder<'a> {
    module: Range<usize>,
    memory: MemoryType,
    data: DataSectionReader<'a>,
}

/// What is known of the module of the top level that is being read.
struct Current<'a> {
    range: Range<usize>,
    index: u32,
    imports_memory: bool,
    memory: Option<MemoryType>,
    data: Option<DataSectionReader<'a>>,
}

fn find_holder(component: &[u8]) -> Result<Option<Holder<'_>>> {
    let mut depth = 0;
    let (mut modules, mut memories) = (0, 0);
    let mut current: Option<Current> = None;
    let mut holders = Vec::new();
    let mut instantiated = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => {
                depth -= 1;
                if depth == 1
                    && let Some(module) = current.take()
                    && let Current { imports_memory: false, memory: Some(memory), data: Some(data), .. } =
                        module
                {
                    holders.push((module.index, Holder { module: module.range, memory, data }));
                }
            }
            Payload::ModuleSection { unchecked_range, .. } if depth == 1 => {
                current = Some(Current {
                    range: unchecked_range,
                    index: modules,
                    imports_memory: false,
                    memory: None,
                    data: None,
                });
                modules += 1;
            }
            // Modules from elsewhere would have to be counted too.
            Payload::ComponentImportSection(section) => {
                for import in section {
                    if matches!(import?.ty, ComponentTypeRef::Module(_)) {
                        return Ok(None);
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    if let ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. }
                    | ComponentAlias::InstanceExport {
                        kind: wasmparser::ComponentExternalKind::Module,
                        ..
                    } = alias?
                    {
                        return Ok(None);
                    }
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        if depth > 1 {
                            return Ok(None);
                        }
                        instantiated.push(module_index);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let is_memory = matches!(import?.ty, TypeRef::Memory(_));
                    current.iter_mut().for_each(|current| current.imports_memory |= is_memory);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    memories += 1;
                    let memory = memory?;
                    current.iter_mut().for_each(|current| current.memory = Some(memory));
                }
            }
            Payload::DataSection(section) => {
                current.iter_mut().for_each(|current| current.data = Some(section.clone()));
            }
            // Their heap would be a memory of its own, mapped anew each time.
            Payload::TypeSection(section) => {
                for group in section {
                    if group?
                        .types()
                        .any(|ty| !matches!(ty.composite_type.inner, CompositeInnerType::Func(_)))
                    {
                        return Ok(None);
                    }
                }
            }
            _ => {}
        }
    }
    let once = |index| instantiated.iter().filter(|other| **other == index).count() == 1;
    Ok(match holders.pop() {
        Some((index, holder)) if memories == 1 && holders.is_empty() && once(index) => Some(holder),
        _ => None,
    })
}

/// What its active segments put into the memory.
fn content(holder: &Holder) -> Result<Option<Vec<u8>>> {
    let MemoryType { memory64, shared, initial, page_size_log2, .. } = holder.memory;
    if memory64 || shared || page_size_log2.is_some() {
        return Ok(None);
    }
    let mut segments = Vec::new();
    for segment in holder.data.clone() {
        let segment = segment?;
        let DataKind::Active { memory_index, offset_expr } = segment.kind else { continue };
        if memory_index != 0 {
            return Ok(None);
        }
        let mut operators = offset_expr.get_operators_reader();
        let (Operator::I32Const { value }, Operator::End) = (operators.read()?, operators.read()?) else {
            return Ok(None);
        };
        segments.push((value.cast_unsigned() as usize, segment.data));
    }
    let length = segments.iter().map(|(offset, bytes)| offset + bytes.len()).max().unwrap_or(0);
    let filled: usize = segments.iter().map(|(_, bytes)| bytes.len()).sum();
    // Out of bounds it traps when it is instantiated, as it should.
    if filled == 0 || length as u64 > initial.saturating_mul(WASM_PAGE) || length > SPARSE.max(2 * filled) {
        return Ok(None);
    }
    let mut memory = vec![0; length];
    for (offset, bytes) in segments {
        memory[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    Ok(Some(memory))
}

/// The module with an empty passive segment in place of each active one, which is
/// what an active one is once it has been applied.
fn without_content(module: &[u8]) -> Result<Vec<u8>> {
    let mut stripped = Module::new();
    for (id, range) in sections(module)? {
        if id != SectionId::Data as u8 {
            stripped.section(&RawSection { id, data: &module[range] });
            continue;
        }
        let mut data = DataSection::new();
        for segment in
            DataSectionReader::new(wasmparser::BinaryReader::new(&module[range.clone()], range.start))?
        {
            let segment = segment?;
            data.passive(match segment.kind {
                DataKind::Passive => segment.data.iter().copied(),
                DataKind::Active { .. } => [].iter().copied(),
            });
        }
        stripped.section(&data);
    }
    Ok(stripped.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the content out of a component with this text, and has the rest validated.
    fn taken(text: &str) -> Option<Vec<u8>> {
        let snapshot = take(&wat::parse_str(format!("(component {text})")).unwrap())?;
        wasmparser::validate(&snapshot.component).unwrap();
        assert!(take(&snapshot.component).is_none(), "nothing is left in there");
        Some(snapshot.memory)
    }

    #[test]
    fn segments_become_content_in_their_order() {
        let memory = taken(
            r#"(core module $libc (func (export "f")))
            (core module $main
                (memory 1)
                (data (i32.const 4) "abcd")
                (data $later "passive")
                (data (i32.const 6) "XY")
                (func (memory.init $later (i32.const 0) (i32.const 0) (i32.const 7))))
            (core instance (instantiate $libc))
            (core instance (instantiate $main))"#,
        );
        assert_eq!(memory.unwrap(), b"\0\0\0\0abXY");
    }

    #[test]
    fn what_could_be_noticed_is_left_alone() {
        let with = |module: &str, rest: &str| taken(&format!("(core module $m {module}) {rest}"));
        let once = "(core instance (instantiate $m))";
        let plain = r#"(memory 1) (data (i32.const 0) "a")"#;
        assert!(with(plain, once).is_some());
        for (why, module, rest) in [
            (
                "instantiated twice",
                plain,
                "(core instance (instantiate $m)) (core instance (instantiate $m))",
            ),
            ("never instantiated", plain, ""),
            ("another memory", plain, "(core module (memory 1)) (core instance (instantiate $m))"),
            (
                "nested",
                plain,
                "(core instance (instantiate $m)) (component (core module $n) (core instance (instantiate $n)))",
            ),
            (
                "nested, with no memory outside",
                "",
                "(core instance (instantiate $m)) (component (core module (memory 1) (data (i32.const 0) \"a\")))",
            ),
            ("collected garbage", r#"(type (array i8)) (memory 1) (data (i32.const 0) "a")"#, once),
            ("out of bounds", r#"(memory 1) (data (i32.const 65536) "a")"#, once),
            ("64 bits", r#"(memory i64 1) (data (i64.const 0) "a")"#, once),
            ("no content", "(memory 1)", once),
            ("mostly holes", r#"(memory 512) (data (i32.const 0x1f00000) "a")"#, once),
            (
                "an offset that is computed",
                r#"(memory 1) (data (offset i32.const 1 i32.const 2 i32.add) "a")"#,
                once,
            ),
        ] {
            assert!(with(module, rest).is_none(), "{why}");
        }
    }
}
