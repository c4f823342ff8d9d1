//! The state behind one instance: its world, its budget, its name in the log.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::egress::{Egress, GuestEgress};
use super::failure::Failure;
use super::guest_output::Printer;
use super::load::LoadedApp;
use super::ticker::SLICE;

/// Most resources (bodies, fields, streams, files) an instance may hold.
const MAX_RESOURCES: usize = 10_000;

/// Data of a store.
pub(super) struct Guest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: GuestEgress,
    budget: Budget,
    printer: Arc<Printer>,
}

/// Memory that an instance has, and may have, summed over its memories and
/// tables.
struct Budget {
    used: usize,
    limit: usize,
    /// It was asked for more than that.
    exceeded: bool,
}

impl LoadedApp {
    /// A store for one instance.
    pub(super) fn store(&self, egress: &Arc<Egress>) -> Store<Guest> {
        let printer = Printer::new(self.name.clone());
        let [stdout, stderr] = printer.streams();
        let mut wasi = WasiCtxBuilder::new()
            .envs(&self.config.env)
            .arg(&self.config.name)
            .args(&self.config.args)
            .stdout(stdout)
            .stderr(stderr)
            .build();
        *wasi.filesystem() = self.files.clone();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let guest = Guest {
            table,
            wasi,
            http: WasiHttpCtx::new(),
            egress: GuestEgress { egress: egress.clone(), printer: printer.clone() },
            budget: Budget {
                used: 0,
                exceeded: false,
                limit: usize::try_from(self.config.memory_limit).unwrap_or(usize::MAX),
            },
            printer,
        };
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.budget);
        store.set_epoch_deadline(SLICE);
        // A guest that computes is interrupted at times and resumed: it
        // shares its worker, and time limits are seen to by timers. By way of the
        // runtime, which looks at sockets and timers before it goes on; the
        // engine's own way to yield would have it do so every 61 times.
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(SLICE, Box::pin(tokio::task::yield_now())))
        });
        store
    }
}

impl Guest {
    /// What a failure of the instance comes from, as far as is known: most guests
    /// trap when they get no more memory, and do not say why.
    pub fn explain(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Trap(error) if self.budget.exceeded => Failure::OutOfMemory(error),
            other => other,
        }
    }

    /// Notes which request the instance works on, for its output.
    pub fn begin(&self, id: &Arc<str>) {
        self.printer.begin(id);
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}

impl Budget {
    fn grow(&mut self, by: usize) -> bool {
        match self.used.checked_add(by) {
            Some(used) if used <= self.limit => {
                self.used = used;
                true
            }
            _ => {
                self.exceeded = true;
                false
            }
        }
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(allowed && self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = maximum.is_none_or(|maximum| desired <= maximum);
        let bytes = desired.saturating_sub(current).saturating_mul(size_of::<usize>());
        Ok(allowed && self.grow(bytes))
    }
}
