//! The state behind one instance: its world, its budget, its name in the log.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::clocks::WasiClocksCtx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::types::HostIncomingRequest;
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::egress::{Egress, GuestEgress};
use super::failure::Failure;
use super::guest_output::Printer;
use super::load::LoadedApp;
use super::ticker::SLICE;
use super::weave::MOST_HANDLES;

/// Most resources (bodies, fields, streams, files) an instance may hold.
const MAX_RESOURCES: usize = 10_000;

/// What an instance has left when it has answered: guests whose garbage is collected
/// rarely give back what they got first.
pub(super) struct Left {
    /// Resources that it had at the same time, at most.
    pub handles: u32,
    /// Whether the request is there.
    pub request: bool,
    /// How many fields are.
    pub fields: u32,
}

/// Data of a store.
pub(super) struct Guest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: GuestEgress,
    budget: Budget,
    printer: Arc<Printer>,
    /// It has called the host.
    has_asked: bool,
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
    /// What an instance has at first.
    pub(super) fn guest(&self, egress: &Arc<Egress>) -> Guest {
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
        Guest {
            table: empty_table(),
            wasi,
            http: WasiHttpCtx::new(),
            egress: GuestEgress { egress: egress.clone(), printer: printer.clone() },
            budget: Budget {
                used: 0,
                exceeded: false,
                limit: usize::try_from(self.config.memory_limit).unwrap_or(usize::MAX),
            },
            printer,
            has_asked: false,
        }
    }

    /// A store for one instance.
    pub(super) fn store(&self, egress: &Arc<Egress>) -> Store<Guest> {
        let mut store = Store::new(&self.engine, self.guest(egress));
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

fn empty_table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_RESOURCES);
    table
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

    /// Whether the instance has called the host; to be asked when it has been made.
    pub fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// Bytes of its budget that are used.
    pub fn used(&self) -> usize {
        self.budget.used
    }

    /// Becomes `other`, which is new but for `used` bytes of its budget and for what the
    /// instance still has; what that is.
    ///
    /// # Errors
    /// It has more than guests forget, or had very much.
    pub fn renew(&mut self, mut other: Self, used: usize) -> anyhow::Result<Left> {
        let (mut request, mut fields) = (false, 0);
        for resource in self.table.iter_mut() {
            match () {
                () if resource.is::<HostIncomingRequest>() && !request => request = true,
                () if resource.is::<FieldMap>() => fields += 1,
                // The host keeps what was given back to it; if it was not, the instance
                // finds that handle in its way when it is put back.
                () if resource.is::<RequestOptions>() => {}
                () => bail!("it has kept resources of the host"),
            }
        }
        // The iterator's bound is the length of the table, free places included: as many as
        // handles, at least, since each handle has a place of its own for as long as it lives.
        let (_, places) = self.table.iter_mut().size_hint();
        let places = places.and_then(|places| u32::try_from(places).ok());
        let handles =
            places.filter(|places| *places <= MOST_HANDLES).context("it had very many resources")?;
        // The table stays until what is left in it was dropped by its handles.
        std::mem::swap(&mut self.table, &mut other.table);
        other.budget.used = used;
        *self = other;
        Ok(Left { handles, request, fields })
    }

    /// Forgets the table of the last request, in which only options may be left: the host
    /// keeps those that it was given.
    ///
    /// # Errors
    /// There is something else.
    pub fn forget_table(&mut self) -> anyhow::Result<()> {
        let only_options = self.table.iter_mut().all(|resource| resource.is::<RequestOptions>());
        ensure!(only_options, "it has kept resources of the host");
        self.table = empty_table();
        Ok(())
    }

    /// Has its clocks begin now.
    pub fn start_clocks(&mut self) {
        *self.wasi.clocks() = WasiClocksCtx::default();
    }

    /// Notes which request the instance works on, for its output.
    pub fn begin(&self, id: &Arc<str>) {
        self.printer.begin(id);
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.has_asked = true;
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.has_asked = true;
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
