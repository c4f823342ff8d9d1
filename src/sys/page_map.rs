//! Which pages of this process were written.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

/// The kernel's record of which pages of this process were written
/// (`PAGEMAP_SCAN` of ioctl_pagemap_scan(2), Linux 6.7).
#[derive(Debug)]
pub struct PageMap {
    file: File,
}

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
#[derive(Debug, Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Runs of pages that the first call reports, and each further one: the kernel takes
/// memory for as many, and most guests write to few places.
const RUNS: (usize, usize) = (32, 512);

/// `struct page_region` of linux/fs.h.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Linux 6.4, `mm/ksm.c`.
const PR_SET_MEMORY_MERGE: libc::c_int = 67;

const PAGEMAP_SCAN: libc::c_ulong = nix::request_code_readwrite!(b'f', 16, size_of::<ScanArgument>());

impl PageMap {
    /// That of this process; a child of it needs its own. Its pages are not merged with
    /// equal ones from here on: one of zeros would look as if nobody had written it.
    ///
    /// # Errors
    /// The kernel has none, or none that can be asked.
    pub fn of_this_process() -> io::Result<Self> {
        // SAFETY: it changes a setting of this process, and takes no pointer. Without
        // such merging in the kernel it fails, and there is nothing to turn off.
        unsafe { libc::prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0) };
        let map = Self { file: File::open("/proc/self/pagemap")? };
        map.scan(0, 0, &mut [Run::default()])?;
        Ok(map)
    }

    /// Visits the runs of pages with content of their own from `from` to `end`, in order,
    /// until the visitor says no; whether it never did.
    ///
    /// # Errors
    /// The kernel refuses, or the visitor fails.
    pub(super) fn for_each_run(
        &self,
        mut from: usize,
        end: usize,
        mut visit: impl FnMut(Range<usize>) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let mut few = [Run::default(); RUNS.0];
        let mut many = Vec::new();
        while from < end {
            let runs = if many.is_empty() { &mut few[..] } else { &mut many };
            let (found, walked) = self.scan(from, end, runs)?;
            for run in &runs[..found] {
                if !visit(run.start as usize..run.end as usize)? {
                    return Ok(false);
                }
            }
            if walked <= from {
                return Err(io::Error::other("the page map makes no progress"));
            }
            from = walked;
            if from < end && many.is_empty() {
                many.resize(RUNS.1, Run::default());
            }
        }
        Ok(true)
    }

    /// Finds runs of pages with content of their own from `from` to `end`: how many,
    /// and how far it has looked.
    fn scan(&self, from: usize, end: usize, runs: &mut [Run]) -> io::Result<(usize, usize)> {
        let mut argument = ScanArgument {
            size: size_of::<ScanArgument>() as u64,
            start: from as u64,
            end: end as u64,
            vec: runs.as_mut_ptr() as u64,
            vec_len: runs.len() as u64,
            // In memory or swapped out, and neither still the file's nor the page of
            // zeros that stands for all that was only read.
            category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            ..ScanArgument::default()
        };
        // SAFETY: the argument is what the kernel expects, and names a buffer that is
        // as long as it says and lives until the call returns.
        let found =
            Errno::result(unsafe { libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN, &raw mut argument) })?;
        Ok((found as usize, argument.walk_end as usize))
    }
}
