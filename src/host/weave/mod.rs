//! Functions that a component gets when it is compiled, by which the host puts an
//! instance back to where it began: all that a guest can change and the host cannot.
//!
//! Globals: each module has its own saved and put back by functions of its own.
//! Handles: they are given out in an order that depends on what was done with earlier
//! ones, so all that were ever in use are taken and given back from the last to the
//! first. Memory: the host puts the content back; its size is looked at again. Anything
//! else that could change makes the component one whose instances are not put back.

mod caller;
mod module;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail, ensure};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentTypeSection, ExportKind, InstanceSection, ModuleArg, ModuleSection,
    PrimitiveValType, RawSection, ValType,
};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType,
    ComponentTypeRef, Encoding, ExternalKind, Instance, InstanceTypeDeclaration, Parser, Payload, Validator,
    WasmFeatures,
};

use self::caller::{DROP, DROP_FIELDS, DROP_REQUEST, INSTANCE, MEMORY_SIZE, NEW, caller, of_globals};
use self::module::{ModuleFacts, PUT_GLOBALS_BACK, SAVE_GLOBALS, TELL_MEMORY_SIZE};
use super::sections::sections;

/// To be called once, when an instance has been made.
pub(super) const SAVE: &str = "wasgun-save";

/// To be called when the host has put the memory back. It takes the most handles that were
/// in use at once, of which there may be [`MOST_HANDLES`]; 1 if the request is still there,
/// which has handle 1; and how many fields are. It drops these, and returns the size of the
/// memory, in pages. Traps if any other handle is left.
pub(super) const REWIND: &str = "wasgun-rewind";

/// Handles that can be put in order: a bit each, in the function that does so.
pub(super) const MOST_HANDLES: u32 = u64::BITS;

/// What is to be dropped, by its name in wasi:http/types.
const REQUEST: &str = "incoming-request";
const FIELDS: &str = "fields";

/// The proposals of which it is known what an instance can change by them: nothing but
/// what is looked at here. No reference but to a function: others come with a heap.
const UNDERSTOOD: WasmFeatures = WasmFeatures::WASM2
    .difference(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Adds the functions to a component with one memory, of 32 bits and not shared, which is
/// defined by a module that imports none (see `snapshot`).
///
/// # Errors
/// Why that cannot be done: an instance may change in other ways too, or the component is
/// not valid.
pub(super) fn weave(component: &[u8]) -> Result<Vec<u8>> {
    // Before, so that the guest cannot refer to what is added; and after, so that a
    // mistake of ours costs the speed and not the app.
    validate(component).context("it is not valid, or uses a proposal that is not understood")?;
    let facts = examine(component)?;
    let mut woven = Component::new();
    for (id, range) in sections(component)? {
        match facts.modules.iter().find(|module| module.range == range) {
            Some(module) => {
                let module = module.with_functions(&component[range])?;
                woven.section(&RawSection { id, data: &module })
            }
            None => woven.section(&RawSection { id, data: &component[range] }),
        };
    }
    facts.connect(&mut woven)?;
    let woven = woven.finish();
    validate(&woven).context("what was added does not fit")?;
    Ok(woven)
}

fn validate(component: &[u8]) -> Result<()> {
    Validator::new_with_features(UNDERSTOOD).validate_all(component)?;
    Ok(())
}

/// What there is at the top level of a component.
#[derive(Default)]
struct Facts {
    modules: Vec<ModuleFacts>,
    /// The module that each core instance is of, if it is of one.
    instances: Vec<Option<usize>>,
    core_functions: u32,
    functions: u32,
    types: u32,
    component_instances: u32,
    /// Types of instances that export requests, and whether they export fields.
    with_requests: Vec<(u32, bool)>,
    /// The first import of such an instance, and whether it has fields.
    http_types: Option<(u32, bool)>,
}

fn examine(component: &[u8]) -> Result<Facts> {
    let mut facts = Facts::default();
    let mut inside = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.context("it is damaged")?;
        match (&payload, inside.as_slice()) {
            (Payload::Version { encoding, .. }, _) => inside.push(*encoding),
            (Payload::End(_), _) => drop(inside.pop()),
            (_, [Encoding::Component]) => facts.note(payload)?,
            (_, [Encoding::Component, Encoding::Module]) => {
                let module = facts.modules.last_mut().context("a module without a section")?;
                module.note(payload)?;
            }
            (_, [.., Encoding::Module]) => bail!("it has a module in a nested component"),
            (_, _) => nested(&payload)?,
        }
    }
    Ok(facts)
}

/// A nested component may give things other names, and hold nothing.
fn nested(payload: &Payload) -> Result<()> {
    match payload {
        Payload::ModuleSection { .. }
        | Payload::InstanceSection(_)
        | Payload::ComponentCanonicalSection(_) => {
            bail!("it has a nested component with functions of its own")
        }
        _ => Ok(()),
    }
}

impl Facts {
    fn note(&mut self, payload: Payload) -> Result<()> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.modules.push(ModuleFacts::at(unchecked_range));
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.instances.push(match instance? {
                        Instance::Instantiate { module_index, .. } => Some(module_index as usize),
                        Instance::FromExports(_) => None,
                    });
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    match function? {
                        CanonicalFunction::Lift { .. } => self.functions += 1,
                        CanonicalFunction::Lower { .. } | CanonicalFunction::ResourceDrop { .. } => {
                            self.core_functions += 1;
                        }
                        other => bail!("it uses {other:?}"),
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    match alias? {
                        ComponentAlias::InstanceExport { kind, .. } => self.add(kind)?,
                        ComponentAlias::CoreInstanceExport { kind: ExternalKind::Func, .. } => {
                            self.core_functions += 1;
                        }
                        ComponentAlias::CoreInstanceExport { .. } => {}
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.types += 1,
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => {
                            bail!("it has a module from elsewhere")
                        }
                        ComponentAlias::Outer { .. } => {}
                    }
                }
            }
            Payload::ComponentTypeSection(section) => {
                for ty in section {
                    match ty? {
                        ComponentType::Resource { .. } => bail!("it has resources of its own"),
                        ComponentType::Instance(items) if exports_type(&items, REQUEST) => {
                            self.with_requests.push((self.types, exports_type(&items, FIELDS)));
                        }
                        _ => {}
                    }
                    self.types += 1;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    if let ComponentTypeRef::Instance(ty) = import.ty
                        && import.name.name.starts_with("wasi:http/types@")
                        && let Some((_, fields)) = self.with_requests.iter().find(|(index, _)| *index == ty)
                    {
                        self.http_types.get_or_insert((self.component_instances, *fields));
                    }
                    self.add(import.ty.kind())?;
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    self.add(export?.kind)?;
                }
            }
            Payload::ComponentInstanceSection(section) => self.component_instances += section.count(),
            Payload::ComponentStartSection { .. } => bail!("it has a start function"),
            _ => {}
        }
        Ok(())
    }

    /// An item that comes from an instance or an import, or has got another name.
    fn add(&mut self, kind: ComponentExternalKind) -> Result<()> {
        match kind {
            ComponentExternalKind::Module => bail!("it has a module from elsewhere"),
            ComponentExternalKind::Func => self.functions += 1,
            ComponentExternalKind::Type => self.types += 1,
            ComponentExternalKind::Instance => self.component_instances += 1,
            _ => {}
        }
        Ok(())
    }

    /// Has one module call the functions of all the others, and exports its two.
    fn connect(&self, component: &mut Component) -> Result<()> {
        let mut core_functions = self.core_functions;
        let mut core_function = || {
            core_functions += 1;
            core_functions - 1
        };
        let mut aliases = ComponentAliasSection::new();
        let mut functions = Vec::new();
        let (mut instances_with_globals, mut memories) = (0, 0);
        for (instance, module) in (0..).zip(&self.instances) {
            let Some(module) = module else { continue };
            let module = self.modules.get(*module).context("an instance of no module")?;
            let mut alias = |name: &str, to: &str| {
                aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name });
                functions.push((to.to_owned(), ExportKind::Func, core_function()));
            };
            if !module.mutable.is_empty() {
                let [save, rewind] = of_globals(instances_with_globals);
                alias(SAVE_GLOBALS, &save);
                alias(PUT_GLOBALS_BACK, &rewind);
                instances_with_globals += 1;
            }
            if module.has_memory {
                alias(TELL_MEMORY_SIZE, MEMORY_SIZE);
                memories += 1;
            }
        }
        ensure!(memories == 1, "it has {memories} memories");

        // The types of what may be left: `fields` stands for itself or, if there are none
        // that could be left, for any other.
        let (instance, has_fields) = self.http_types.context("it imports no requests of wasi:http/types")?;
        let request = self.types;
        for name in [REQUEST].into_iter().chain(has_fields.then_some(FIELDS)) {
            aliases.alias(Alias::InstanceExport { instance, kind: ComponentExportKind::Type, name });
        }
        let fields = request + u32::from(has_fields);
        let [resource, save_type, rewind_type] = [1, 2, 3].map(|number| fields + number);
        let mut types = ComponentTypeSection::new();
        types.resource(ValType::I32, None);
        types.function().params::<[(&str, PrimitiveValType); 0], _>([]).result(None);
        let number = PrimitiveValType::U32;
        let parameters = [("handles", number), ("request", number), ("fields", number)];
        types.function().params(parameters).result(Some(number.into()));
        let mut handles = CanonicalFunctionSection::new();
        handles.resource_new(resource).resource_drop(resource).resource_drop(request).resource_drop(fields);
        for name in [NEW, DROP, DROP_REQUEST, DROP_FIELDS] {
            functions.push((name.to_owned(), ExportKind::Func, core_function()));
        }

        let [all, ours] = [0, 1].map(|number| self.instances.len() as u32 + number);
        let mut instances = InstanceSection::new();
        instances.export_items(functions);
        instances.instantiate(self.modules.len() as u32, [(INSTANCE, ModuleArg::Instance(all))]);
        let mut our_aliases = ComponentAliasSection::new();
        let mut lifted = CanonicalFunctionSection::new();
        let mut exports = ComponentExportSection::new();
        for (function, (name, ty)) in (self.functions..).zip([(SAVE, save_type), (REWIND, rewind_type)]) {
            our_aliases.alias(Alias::CoreInstanceExport { instance: ours, kind: ExportKind::Func, name });
            lifted.lift(core_function(), ty, []);
            // Each export is another function, after those that are lifted.
            exports.export(name, ComponentExportKind::Func, function, None);
        }
        component
            .section(&aliases)
            .section(&types)
            .section(&handles)
            .section(&ModuleSection(&caller(instances_with_globals)))
            .section(&instances)
            .section(&our_aliases)
            .section(&lifted)
            .section(&exports);
        Ok(())
    }
}

fn exports_type(items: &[InstanceTypeDeclaration], wanted: &str) -> bool {
    items.iter().any(|item| match item {
        InstanceTypeDeclaration::Export { name, ty: ComponentTypeRef::Type(_) } => name.name == wanted,
        _ => false,
    })
}
