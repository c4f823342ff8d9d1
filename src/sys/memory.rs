//! Address space that is used again and again, and put back in between to what it
//! held at first.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap};

use super::page_map::PageMap;

const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// Regions and images begin and end at multiples of this, which is one of any page size.
pub const GRAIN: usize = 64 * 1024;

/// Has the allocator keep up to `bytes` of freed memory rather than give it back at
/// once, and take blocks of up to half of that from there (`mallopt(3)`); with another
/// C library than GNU's it does nothing.
pub fn keep_freed(bytes: i32) {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_TRIM_THRESHOLD, bytes), (libc::M_MMAP_THRESHOLD, bytes / 2)] {
        // SAFETY: it sets a number in the allocator, which has a lock of its own.
        unsafe { libc::mallopt(parameter, value) };
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// Has the allocator give back what is freed, as far as it can (`malloc_trim(3)`).
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes nothing that anybody has got from the allocator, which has a
    // lock of its own.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The smallest pages there are, in bytes.
const PAGE: usize = 4096;

/// What a region holds at first: part of a file that nobody changes any more.
#[derive(Debug)]
pub struct Image {
    file: File,
    offset: u64,
    /// The same bytes, to copy from.
    bytes: &'static [u8],
}

impl Image {
    /// Takes `length` bytes of `file` from `offset` on, which is a multiple of
    /// [`GRAIN`]. They stay mapped for the life of the process.
    ///
    /// # Errors
    /// They cannot be mapped, or the file has not as many.
    pub fn new(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        let whole = length.next_multiple_of(GRAIN);
        if file.metadata()?.len() < offset + whole as u64 {
            return Err(io::Error::other("the image is cut short"));
        }
        let room = NonZeroUsize::new(whole).ok_or(io::Error::other("the image is empty"))?;
        let file = file.try_clone()?;
        // SAFETY: a new mapping, at an address that the kernel chooses, aliases
        // nothing of this process.
        let start = unsafe {
            mmap(None, room, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, file.as_fd(), offset as i64)?
        };
        // SAFETY: it is `whole` bytes long by a file that is long enough and, as the
        // caller says, not changed or cut any more; it is never unmapped nor written.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<u8>(), whole) };
        Ok(Self { file, offset, bytes })
    }
}

/// Bytes of a region that are not as at first, and where they begin.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    offset: usize,
    bytes: Box<[u8]>,
}

/// Reserved address space; its begin is accessible, and holds an image followed by
/// zeros. What lies behind faults when it is touched.
#[derive(Debug)]
pub struct Region {
    base: NonNull<libc::c_void>,
    reserved: NonZeroUsize,
    accessible: usize,
    /// As far as it was ever accessible since all its pages were given back.
    touched: usize,
}

// SAFETY: the region owns its address space; moving it to another thread moves
// nothing that is tied to the one that made it.
unsafe impl Send for Region {}
// SAFETY: through a shared reference it only gives out its address.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves `reserved` bytes, with `image` at its begin and zeros up to
    /// `accessible`. All of these are multiples of [`GRAIN`].
    ///
    /// # Errors
    /// There is no address space for it.
    pub fn new(reserved: usize, accessible: usize, image: Option<&Image>) -> io::Result<Self> {
        let room = NonZeroUsize::new(reserved).ok_or(io::Error::other("no room at all"))?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping, at an address that the kernel chooses, aliases
        // nothing of this process.
        let base = unsafe { mmap_anonymous(None, room, ProtFlags::PROT_NONE, flags)? };
        let mut region = Self { base, reserved: room, accessible: 0, touched: 0 };
        // A byte that is written must not make two megabytes to put back. Fails where the
        // kernel has no huge pages.
        // SAFETY: the range is the mapping that was just made.
        let _ = unsafe { madvise(base, reserved, MmapAdvise::MADV_NOHUGEPAGE) };
        region.set_accessible(accessible)?;
        if let Some(image) = image {
            let room = NonZeroUsize::new(image.bytes.len()).filter(|room| room.get() <= accessible);
            let room = room.ok_or(io::Error::other("the image is larger than its memory"))?;
            let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
            let at = NonZeroUsize::new(base.as_ptr() as usize);
            // SAFETY: what this replaces is the begin of the mapping made above, which
            // nobody else knows yet.
            unsafe { mmap(at, room, READ_WRITE, flags, image.file.as_fd(), image.offset as i64)? };
        }
        Ok(region)
    }

    /// Reserves `size` bytes for a stack, all accessible, behind [`GRAIN`] that are not.
    ///
    /// # Errors
    /// There is no address space for it.
    pub fn stack(size: usize) -> io::Result<Self> {
        let region = Self::new(size + GRAIN, 0, None)?;
        // SAFETY: the range is all of this region but its first page, and nobody else
        // knows it yet.
        unsafe { mprotect(region.at(GRAIN), size, READ_WRITE)? };
        Ok(region)
    }

    /// Where it begins.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr().cast()
    }

    /// Makes exactly its first `bytes` bytes, a multiple of [`GRAIN`], accessible.
    ///
    /// # Errors
    /// It has not as many, or the kernel refuses.
    pub fn set_accessible(&mut self, bytes: usize) -> io::Result<()> {
        if bytes > self.reserved.get() {
            return Err(io::Error::other("more than is reserved"));
        }
        let (from, to) = (self.accessible.min(bytes), self.accessible.max(bytes));
        let protection = if bytes > self.accessible { READ_WRITE } else { ProtFlags::PROT_NONE };
        if from < to {
            // SAFETY: the range lies within this region, which owns its mapping; that
            // it is in use by nobody who minds is what `&mut` says.
            unsafe { mprotect(self.at(from), to - from, protection)? };
        }
        self.accessible = bytes;
        self.touched = self.touched.max(bytes);
        Ok(())
    }

    /// Puts back what it held at first, with its first `accessible` bytes
    /// accessible; the bytes that it still has pages of its own for. With a page map,
    /// pages that were written are overwritten and stay its own, up to `keep` bytes of
    /// them; without one, or beyond, the kernel takes all of them back.
    ///
    /// # Errors
    /// The kernel refuses; then the region is not to be used before this has succeeded.
    pub fn restore(
        &mut self,
        image: Option<&Image>,
        accessible: usize,
        map: Option<&PageMap>,
        keep: usize,
    ) -> io::Result<usize> {
        let resident = match map {
            Some(map) => self.overwrite(image, map, keep)?,
            None => None,
        };
        if resident.is_none() && self.touched > 0 {
            // SAFETY: as above; the begin is a private mapping of a file or of nothing,
            // so what is dropped comes back as it was.
            unsafe { madvise(self.base, self.touched, MmapAdvise::MADV_DONTNEED)? };
            self.touched = 0;
        }
        self.set_accessible(accessible)?;
        Ok(resident.unwrap_or(0))
    }

    /// Overwrites what was written of the accessible begin of it; how many bytes of
    /// it have pages of their own, those that it has grown by before included, or none if
    /// they are more than `keep`, and some may not be put back.
    fn overwrite(&mut self, image: Option<&Image>, map: &PageMap, keep: usize) -> io::Result<Option<usize>> {
        let source = image.map_or(&[][..], |image| image.bytes);
        let base = self.base.as_ptr() as usize;
        let mut resident = 0;
        let all = map.for_each_run(base, base + self.touched, |run| {
            resident += run.len();
            if resident > keep {
                return Ok(false);
            }
            let offset = run.start - base;
            // Behind that it was put back before it was made inaccessible.
            let length = run.len().min(self.accessible.saturating_sub(offset));
            if length > 0 {
                // SAFETY: the range is accessible, the region owns it, and `&mut` says
                // that nobody else uses it now.
                let written = unsafe {
                    std::slice::from_raw_parts_mut(self.base.as_ptr().cast::<u8>().add(offset), length)
                };
                let original = source.get(offset..).unwrap_or_default();
                let (head, tail) = written.split_at_mut(original.len().min(length));
                head.copy_from_slice(&original[..head.len()]);
                tail.fill(0);
            }
            Ok(true)
        })?;
        Ok(all.then_some(resident))
    }

    /// What of its accessible begin is not as at first; by the smallest pages there are.
    ///
    /// # Errors
    /// The page map cannot be read, or these are more than `most` bytes.
    pub fn changes(&mut self, image: &Image, map: &PageMap, most: usize) -> io::Result<Vec<Piece>> {
        let base = self.base.as_ptr() as usize;
        let mut pieces: Vec<Piece> = Vec::new();
        map.for_each_run(base, base + self.accessible, |run| {
            let offset = run.start - base;
            // SAFETY: the range is accessible, the region owns it, and `&mut` says that
            // nobody else uses it now.
            let bytes =
                unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast::<u8>().add(offset), run.len()) };
            let original = image.bytes.get(offset..).unwrap_or_default();
            for (page, at) in bytes.chunks(PAGE).zip((0..).step_by(PAGE)) {
                let original = original.get(at..).unwrap_or_default();
                let (head, tail) = page.split_at(original.len().min(page.len()));
                if head != &original[..head.len()] || tail.iter().any(|byte| *byte != 0) {
                    if (pieces.len() + 1) * PAGE > most {
                        return Err(io::Error::other(format!("it has changed more than {most} bytes")));
                    }
                    pieces.push(Piece { offset: offset + at, bytes: page.into() });
                }
            }
            Ok(true)
        })?;
        Ok(pieces)
    }

    /// Makes it what it was when `changes` were found.
    pub fn write(&mut self, changes: &[Piece]) {
        for Piece { offset, bytes } in changes {
            assert!(offset + bytes.len() <= self.accessible, "within what is accessible");
            // SAFETY: the range is accessible, the region owns it, and `&mut` says that
            // nobody else uses it now.
            let place = unsafe {
                std::slice::from_raw_parts_mut(self.base.as_ptr().cast::<u8>().add(*offset), bytes.len())
            };
            place.copy_from_slice(bytes);
        }
    }

    /// The address of a byte of it.
    fn at(&self, offset: usize) -> NonNull<libc::c_void> {
        assert!(offset <= self.reserved.get(), "within the region");
        // SAFETY: it is inside of the mapping, or at its end.
        unsafe { self.base.byte_add(offset) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is the region's own, and nobody uses it any more.
        let unmapped = unsafe { munmap(self.base, self.reserved.get()) };
        debug_assert!(unmapped.is_ok(), "a mapping of its own");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Of the image, and of a region with it.
    const FEW: usize = 20 * GRAIN;
    const MANY: usize = 700 * GRAIN;

    fn image_bytes() -> Vec<u8> {
        (0..FEW).map(|at| (at % 251) as u8).collect()
    }

    fn image() -> Image {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; GRAIN]).unwrap();
        file.write_all(&image_bytes()).unwrap();
        Image::new(&file, GRAIN as u64, FEW).unwrap()
    }

    fn content(region: &mut Region) -> &mut [u8] {
        // SAFETY: the begin is accessible, and `&mut` says that nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(region.base(), region.accessible) }
    }

    fn is_as_at_first(region: &mut Region) -> bool {
        let (head, tail) = content(region).split_at(FEW);
        head == image_bytes() && tail.chunks(GRAIN).all(|chunk| chunk == [0; GRAIN])
    }

    #[test]
    fn every_written_page_is_put_back_however_many_there_are() {
        let image = image();
        let map = PageMap::of_this_process().ok();
        let mut region = Region::new(MANY + GRAIN, MANY, Some(&image)).unwrap();
        assert!(is_as_at_first(&mut region));
        // As many runs of pages as there are bytes: far more than one call reports.
        for step in [GRAIN, 3 * GRAIN, MANY] {
            for map in [None, map.as_ref()] {
                content(&mut region).iter_mut().skip(17).step_by(step).for_each(|byte| *byte = 0xEE);
                region.restore(Some(&image), MANY, map, usize::MAX).unwrap();
                assert!(is_as_at_first(&mut region), "a byte in {step}");
            }
        }
    }

    #[test]
    fn what_was_grown_is_empty_when_it_grows_again() {
        let image = image();
        let map = PageMap::of_this_process().ok();
        for keep in [usize::MAX, GRAIN, 0] {
            let mut region = Region::new(2 * MANY, 2 * FEW, Some(&image)).unwrap();
            region.set_accessible(MANY).unwrap();
            content(&mut region).fill(0xEE);
            let kept = if map.is_some() && keep == usize::MAX { MANY } else { 0 };
            // What it has grown by counts, and is given back, also when it has not grown since.
            for _ in 0..2 {
                let resident = region.restore(Some(&image), 2 * FEW, map.as_ref(), keep).unwrap();
                assert_eq!(resident, kept);
            }
            assert!(is_as_at_first(&mut region));
            region.set_accessible(MANY).unwrap();
            assert!(is_as_at_first(&mut region), "the grown part is zero");
            region.restore(Some(&image), 2 * FEW, None, keep).unwrap();
            let resident = region.restore(Some(&image), 2 * FEW, map.as_ref(), usize::MAX).unwrap();
            assert_eq!(resident, 0, "all was given back");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let image = image();
        assert!(Region::new(MANY, FEW / 2, Some(&image)).is_err());
        let mut region = Region::new(FEW, GRAIN, None).unwrap();
        assert!(region.set_accessible(FEW + GRAIN).is_err());
        assert!(Image::new(&tempfile::tempfile().unwrap(), 0, 1).is_err());
    }
}
