//! What the two generations of the probe share: nothing here knows of WASI.

pub mod json;
mod target;

pub use target::Target;

/// The size of the pieces in which long bodies are read and written.
pub const PIECE: usize = 64 * 1024;

/// The body of `/big`: byte number `i` is `i % 251`. 251 is a prime, so that a
/// piece lost, doubled or out of place shows.
fn pattern(from: u64, len: usize) -> Vec<u8> {
    (from..).take(len).map(|i| (i % 251) as u8).collect()
}

/// The pieces of a body of `mib` MiB of the pattern.
pub fn pattern_pieces(mib: u64) -> impl Iterator<Item = Vec<u8>> {
    let piece = PIECE as u64;
    (0..mib * 1024 * 1024 / piece).map(move |n| pattern(n * piece, PIECE))
}

/// FNV-1a, 64 bits.
pub struct Checksum(u64);

impl Checksum {
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub fn hex(&self) -> String {
        format!("{:016x}", self.0)
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes `mib` MiB of memory, writes to all of it and gives it back to the
/// allocator, which never gives it back to the host. Traps if there is no more.
pub fn grow_and_touch(mib: u64) {
    let taken: Vec<Vec<u8>> = (0..mib).map(|_| vec![1; 1024 * 1024]).collect();
    std::hint::black_box(taken);
}

/// Splits `http://host:port/path` into its scheme, authority and the rest.
pub fn split_url(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let path = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    Some((scheme, authority, if path.is_empty() { "/" } else { path }))
}

/// Looks through the whole of its memory for what an earlier call has left, and leaves it
/// all over `mib` MiB more: how many words it has found.
pub fn hoard(mib: usize) -> usize {
    // Neither a constant nor on the stack, where a later call would find its own.
    let secret = || std::hint::black_box(0x6472_616f_6821_0000_u64).rotate_left(16);
    #[cfg(target_arch = "wasm32")]
    let found = {
        let end = core::arch::wasm32::memory_size(0) << 16;
        // SAFETY: all of a linear memory may be read, from its begin to its end.
        let word = |at: usize| unsafe { std::ptr::with_exposed_provenance::<u64>(at).read_volatile() };
        (8..end).step_by(8).filter(|at| word(*at) == secret()).count()
    };
    #[cfg(not(target_arch = "wasm32"))]
    let found = 0;
    std::hint::black_box(vec![secret(); mib << 17].leak());
    found
}
