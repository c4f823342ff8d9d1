//! The runtime's settings: one set a wasi generation, the same for the process
//! that compiles and the one that loads, or the code would not fit.

use std::hash::{Hash, Hasher};
use std::io::Read;
use std::sync::Arc;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::inspect::Wasi;
use super::memories::{Creator, Memories};
use crate::artifact::{FORMAT, Needs};
use crate::config::{AppConfig, PoolConfig};
use crate::sys::memory::Region;

/// Table elements every instance may have: Python, C# and Java guests start
/// with more than the runtime's default of 20,000.
const TABLE_ELEMENTS: u64 = 100_000;

/// Dirty bytes of a memory of the runtime's pool that are reset by copying rather than
/// by giving the pages back, where the kernel can say which pages are dirty.
const KEEP_RESIDENT: usize = 4 << 20;

/// Bytes of the pages that memory sizes are counted in.
pub(super) const WASM_PAGE: u64 = 64 * 1024;

/// Address space of a memory, in bytes, and the part behind it that is never mapped: with
/// these the code needs no check of each access (the runtime's defaults).
const RESERVATION: u64 = 4 << 30;
const GUARD: u64 = 32 << 20;

/// Settings that decide what machine code looks like.
fn base(wasi: Wasi) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.memory_reservation(RESERVATION).memory_guard_size(GUARD);
    // Said, since what is not the size of an app's memory must not be taken for one.
    config.gc_heap_initial_size(0);
    // A 0.2 component needs none of the bookkeeping for concurrent tasks, which
    // costs about 20 µs a fresh instance.
    config.concurrency_support(wasi == Wasi::V03);
    if wasi == Wasi::V03 {
        config.wasm_component_model_async(true);
    }
    config
}

/// An engine that compiles, and runs nothing.
///
/// # Errors
/// The runtime does not support this machine.
pub fn compiling(wasi: Wasi) -> wasmtime::Result<Engine> {
    Engine::new(&base(wasi))
}

/// An engine that runs what [`compiling`] made, with memories of ours for a component
/// that has a snapshot, and for others with room for all the instances of a worker.
///
/// # Errors
/// The runtime does not support this machine.
pub fn running(
    needs: &Needs,
    wasi: Wasi,
    pool: &PoolConfig,
    app: &AppConfig,
    memories: Option<&Arc<Memories>>,
) -> wasmtime::Result<Engine> {
    let mut config = base(wasi);
    if let Some(memories) = memories {
        let room = (RESERVATION + GUARD) as usize;
        if Region::new(room.saturating_mul(pool.max_concurrency), 0, None).is_err() {
            // A small address space or RLIMIT_AS.
            tracing::warn!(
                "no address space for the memories of {} instances; requests that find none are refused: \
                 lower --max-concurrency or raise the limit on address space (ulimit -v)",
                pool.max_concurrency
            );
        }
        let creator = Arc::new(Creator(memories.clone()));
        config.with_host_memory(creator.clone()).with_host_stack(creator);
        return Engine::new(&config);
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(needs, wasi, pool, app)));
    Engine::new(&config).or_else(|error| {
        // A small address space or RLIMIT_AS; slower, but the same code runs.
        tracing::warn!(
            "no address space for a pool of {} instances ({error}); instances are allocated one by one, \
             which is slower: lower --max-concurrency or raise the limit on address space (ulimit -v)",
            pool.max_concurrency
        );
        Engine::new(&base(wasi))
    })
}

fn pooling(needs: &Needs, wasi: Wasi, pool: &PoolConfig, app: &AppConfig) -> PoolingAllocationConfig {
    let instances = u32::try_from(pool.max_concurrency).unwrap_or(u32::MAX);
    let stacks = match wasi {
        Wasi::V02 => 1,
        Wasi::V03 => 2 * app.instance_concurrency.max(2),
    };
    let mut config = PoolingAllocationConfig::default();
    config
        .total_component_instances(instances)
        .total_core_instances(u32::MAX)
        .max_component_instance_size(16 << 20)
        // One more than it declares: a guest with a garbage-collected heap
        // takes that from the same pool.
        .total_memories(instances.saturating_mul(needs.memories + 1))
        .max_memory_size(usize::try_from(app.memory_limit).unwrap_or(usize::MAX))
        .total_tables(instances.saturating_mul(needs.tables.max(1)))
        .table_elements(usize::try_from(needs.initial_table.max(TABLE_ELEMENTS)).unwrap_or(usize::MAX))
        .total_stacks(instances.saturating_mul(stacks))
        .total_gc_heaps(instances)
        // Slots stay with their component; how many are warm follows the load.
        .max_unused_warm_slots(instances);
    if !swap_exists() && PoolingAllocationConfig::is_pagemap_scan_available() {
        // Only without swap: the scan does not see dirty pages that were
        // swapped out, and a later instance would read them (wasmtime#14357).
        config
            .pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(KEEP_RESIDENT);
    }
    config
}

/// Whether a page of this process can be swapped out; yes, if in doubt.
pub fn swap_exists() -> bool {
    std::fs::read_to_string("/proc/swaps").map_or(true, |table| table.lines().count() > 1)
}

/// What `components` compile to together: a name that changes with each of them, this
/// program, the runtime, its settings and the features of this CPU. It takes no
/// look into them, which only the compiler does, and keeps nothing of them in
/// memory, since workers inherit what their mold has there.
///
/// # Errors
/// The runtime does not support this machine, or a component cannot be read.
pub fn fingerprint(components: impl IntoIterator<Item = impl Read>) -> anyhow::Result<blake3::Hash> {
    struct Feed(blake3::Hasher);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(blake3::Hasher::new());
    for wasi in [Wasi::V02, Wasi::V03] {
        compiling(wasi)?.precompile_compatibility_hash().hash(&mut feed);
    }
    // What is stored beside the code may change between versions of ours.
    feed.0.update(env!("CARGO_PKG_VERSION").as_bytes()).update(FORMAT);
    for component in components {
        let before = feed.0.count();
        feed.0.update_reader(component)?;
        // Where one ends and the next begins.
        let length = feed.0.count() - before;
        feed.0.update(&length.to_le_bytes());
    }
    Ok(feed.0.finalize())
}
