//! The state behind one instance: its world, its budget, its name in the log.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::clocks::WasiClocksCtx;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::types::HostIncomingRequest;
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::app::{App, Call};
use super::egress::GuestEgress;
use super::failure::Failure;
use super::guest_output::Printer;
use super::load::Pre;
use super::ticker::{Hog, SLICE};
use super::usage::Usage;
use super::weave::MOST_HANDLES;

/// Most resources (bodies, fields, streams, files) an instance may hold: for each the host
/// keeps up to some 200 KiB, which no memory limit counts.
const MAX_RESOURCES: usize = 1_000;

/// The same for each request of an instance that works on very many: an echo needs eight.
const REQUEST_RESOURCES: usize = 64;

/// Most of these and of what costs the host little, which is what a 0.2 instance waits for
/// (`pollable`): engines that collect their garbage late keep one of each piece of a body.
const MAX_HANDLES: usize = 50_000;

/// How many calls of the host pass between two looks at what an instance holds.
const CALLS_UNSEEN: u32 = 250;

/// Most core instances, tables and memories of a component: Python's have some dozens.
const MAX_INSTANCES: usize = 1_000;
const MAX_TABLES: usize = 1_000;
const MAX_MEMORIES: usize = 100;

/// Most bytes that the host copies for a guest in one call.
const HOSTCALL_BYTES: usize = 16 << 20;

/// Most random bytes that a guest gets in one call.
const RANDOM_BYTES: u64 = 1 << 20;

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
    /// Calls since it was last looked at what it holds.
    unseen: u32,
    /// Most resources that it may hold and that cost the host much.
    most: usize,
    /// What it held when that was too much. It goes with the rest only: a body that goes
    /// before its instance has failed looks like one that ended.
    overfull: Option<ResourceTable>,
    /// It has computed for long.
    hog: Option<Hog>,
}

/// Memory that an instance has, and may have, summed over its memories, tables and
/// heaps.
struct Budget {
    used: usize,
    /// The request's, for which it last got more.
    usage: Arc<Usage>,
    limit: usize,
    /// It was asked for more than that.
    exceeded: bool,
}

impl App {
    /// What an instance has at first.
    pub(super) fn guest(&self) -> Guest {
        let config = self.config();
        let printer = Printer::new(self.loaded.name.clone(), config.output_limit);
        let [stdout, stderr] = printer.streams();
        let mut wasi = WasiCtxBuilder::new()
            .envs(&config.env)
            .arg(&config.name)
            .args(&config.args)
            .stdout(stdout)
            .stderr(stderr)
            .max_random_size(RANDOM_BYTES)
            .build();
        *wasi.filesystem() = self.loaded.files.clone();
        let usage = Arc::<Usage>::default();
        Guest {
            table: empty_table(self.most_handles()),
            wasi,
            http: WasiHttpCtx::new(),
            egress: GuestEgress {
                egress: self.egress.clone(),
                printer: printer.clone(),
                usage: usage.clone(),
            },
            budget: Budget {
                used: 0,
                usage,
                exceeded: false,
                limit: usize::try_from(config.memory_limit).unwrap_or(usize::MAX),
            },
            printer,
            has_asked: false,
            unseen: 0,
            most: self.most_resources(),
            overfull: None,
            hog: None,
        }
    }

    /// Most resources of an instance, for all requests that it works on.
    fn most_resources(&self) -> usize {
        match self.loaded.pre {
            Pre::V02(..) => MAX_RESOURCES,
            Pre::V03(_) => MAX_RESOURCES.max(REQUEST_RESOURCES * self.config().instance_concurrency as usize),
        }
    }

    /// Most resources of all kinds, and handles.
    fn most_handles(&self) -> usize {
        match self.loaded.pre {
            Pre::V02(..) => MAX_HANDLES,
            // Streams, futures and tasks are among them, which cost more than a pollable.
            Pre::V03(_) => self.most_resources(),
        }
    }

    /// A store for one instance.
    pub(super) fn store(&self) -> Store<Guest> {
        let mut store = Store::new(&self.loaded.engine, self.guest());
        store.limiter(|guest| &mut guest.budget);
        store.set_max_component_handles(self.most_handles());
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_epoch_deadline(SLICE);
        // A guest that computes is interrupted at times and resumed: it
        // shares its worker, and time limits are seen to by timers.
        let next_slice = self.ticker.slices();
        store.epoch_deadline_callback(move |mut store| {
            let (slice, turn) = next_slice(&mut store.data_mut().hog);
            Ok(UpdateDeadline::YieldCustom(slice, turn))
        });
        store
    }
}

fn empty_table(most: usize) -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(most);
    table
}

impl Guest {
    /// What a failure of the instance comes from, as far as is known: most guests
    /// trap when they get no more memory, and do not say why.
    pub fn explain(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Trap(error) if self.budget.exceeded => Failure::OutOfMemory(error),
            Failure::Trap(_) if self.overfull.is_some() => {
                let text = format!("it held more than {} resources", self.most);
                Failure::Trap(Arc::new(wasmtime::Error::msg(text)))
            }
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
        ensure!(self.overfull.is_none(), "it held too many resources");
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
        self.table = empty_table(self.table.max_capacity());
        Ok(())
    }

    /// Has its clocks begin now.
    pub fn start_clocks(&mut self) {
        *self.wasi.clocks() = WasiClocksCtx::default();
    }

    /// Notes that it calls the host. One that holds too much loses all, so that it traps.
    fn asks(&mut self) {
        self.has_asked = true;
        self.unseen += 1;
        if self.unseen < CALLS_UNSEEN {
            return;
        }
        self.unseen = 0;
        if self.holds_more_than(self.most) {
            // A smaller limit would not do: places that were free before are given out whatever it is.
            self.overfull = Some(std::mem::replace(&mut self.table, empty_table(0)));
        }
    }

    fn holds_more_than(&mut self, most: usize) -> bool {
        let resources = self.table.iter_mut();
        // No less than there are, and known without a look at each.
        let may_hold = resources.size_hint().1.is_none_or(|places| places > most);
        may_hold && resources.filter(|resource| !resource.is::<DynPollable>()).count() > most
    }

    /// Whether it can take another request; to be asked when it has answered. One that
    /// keeps a little of each would otherwise fail a request that has done nothing.
    pub fn has_room(&mut self) -> bool {
        let places = self.table.iter_mut().size_hint().1;
        self.overfull.is_none()
            && places.is_some_and(|places| places <= MAX_HANDLES / 2)
            && !self.holds_more_than(self.most / 2)
    }

    /// Notes which request the instance works on, for its output and its account.
    pub fn begin(&mut self, call: &Call) {
        self.printer.begin(&call.id);
        call.usage.has_memory(self.budget.used);
        self.budget.usage = call.usage.clone();
        self.egress.usage = call.usage.clone();
        self.hog = None;
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.asks();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.asks();
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}

impl Budget {
    fn grow(&mut self, by: usize) -> bool {
        match self.used.checked_add(by) {
            Some(used) if used <= self.limit => {
                self.used = used;
                self.usage.has_memory(used);
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

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}
