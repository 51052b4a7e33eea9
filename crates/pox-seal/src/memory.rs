//! Keeps the memory of this process to itself.
//!
//! Three things, each as far as the system lets: no dumps of the whole process; keys on pages of their own that are neither
//! swapped nor dumped ([`Kept`]); and, where this process may lock as much as it likes, none of its memory swapped.
// Two calls for which `rustix` has no safe form: see the proof at each.
#![allow(unsafe_code)]

use rustix::mm::{Advice, MlockAllFlags, madvise, mlock, mlockall, munlock};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use std::ffi::c_void;
use std::io;
use std::ops::Deref;

/// Forbids core dumps of this process, and other processes of its user to look into it, until it starts another program; and
/// locks all of its memory, if there is no limit to what it may lock.
///
/// Keys are wiped when they are dropped ([`FileKey`](crate::FileKey), [`Identity`](crate::Identity), the payload's key in our
/// own kernel) and lie on pages of their own that are locked even under a limit, until it is reached; the segments that held
/// plaintext are wiped too. What can't be kept: ring's copies of keys aren't wiped; registers and what the compiler spills of them
/// aren't either; and under a limit, as most users have one, plaintext in work may be swapped. A machine that seals secrets should
/// encrypt its swap.
///
/// # Errors
/// The system doesn't let it forbid dumps. Memory that can't be locked is none.
pub fn forbid_dumps() -> io::Result<()> {
    refuse_dumps()?;
    lock_all();
    Ok(())
}

fn refuse_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Under a limit, a process that locks what it will have one day gets no memory once it is reached: only without one.
fn lock_all() {
    let is_free = |limit: Rlimit| limit.current.is_none();
    let unlimited = Rlimit { current: None, maximum: None };
    if is_free(getrlimit(Resource::Memlock)) || setrlimit(Resource::Memlock, unlimited).is_ok() {
        // What is never touched needs no memory for it. Where it isn't allowed, keys are still locked one by one.
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}

/// A secret on pages of its own. The system is asked not to swap them and to leave them out of dumps; whether it does depends on
/// `RLIMIT_MEMLOCK` (a page for each key) and shows in `VmLck` of `/proc/self/status`.
pub(crate) struct Kept<T>(Box<Pages<T>>);

/// Aligned as pages are, so that nothing else is on them; none only while it is dropped.
#[repr(align(4096))]
struct Pages<T>(Option<T>);

impl<T> Kept<T> {
    pub(crate) fn new(secret: T) -> Self {
        let mut pages = Box::new(Pages(None));
        let (start, len) = Self::range(&mut pages);
        // SAFETY: the range is the allocation that `pages` owns and lives longer than both calls. Neither changes what is in it,
        // nor whether it can be read and written; they set flags of the pages, which `drop` takes away again.
        let _ = unsafe { mlock(start, len) };
        #[cfg(target_os = "linux")]
        // SAFETY: the same.
        let _ = unsafe { madvise(start, len, Advice::LinuxDontDump) };
        // Only now, so that it never lies anywhere else for longer than it takes to move it.
        pages.0 = Some(secret);
        Self(pages)
    }

    fn range(pages: &mut Pages<T>) -> (*mut c_void, usize) {
        (std::ptr::from_mut(pages).cast(), size_of::<Pages<T>>())
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        // Wipes itself, while the pages are still locked.
        self.0.0 = None;
        let (start, len) = Self::range(&mut self.0);
        // SAFETY: as above; there is nothing secret in the range any more.
        let _ = unsafe { munlock(start, len) };
        #[cfg(target_os = "linux")]
        // SAFETY: the same.
        let _ = unsafe { madvise(start, len, Advice::LinuxDoDump) };
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{FileKey, OsRandom};
    use rustix::process::dumpable_behavior;

    #[test]
    fn a_process_is_not_dumped() {
        // Without locking all, which would hide whether keys are locked.
        refuse_dumps().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }

    /// What the system says of the pages at an address: `lo` locked, `dd` left out of dumps.
    fn flags(address: usize) -> Vec<String> {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
        let mut is_here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let range = range.and_then(|(from, to)| {
                Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
            });
            if let Some(range) = range {
                is_here = range.contains(&address);
            } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_here) {
                return flags.split_whitespace().map(str::to_owned).collect();
            }
        }
        Vec::new()
    }

    #[test]
    fn keys_are_on_locked_pages_that_no_dump_has() {
        let key = FileKey::generate(&mut OsRandom).unwrap();
        let address = key.dangerous_bytes().as_ptr() as usize;
        assert!(address.is_multiple_of(4096) || address % 4096 < 64, "at the beginning of its page");
        let here = flags(address);
        assert!(here.iter().any(|flag| flag == "dd"), "{here:?}");
        // As far as this user may: the usual limits allow for more than the keys of a test.
        let limit = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
        assert!(limit < 64 * 1024 || here.iter().any(|flag| flag == "lo"), "{here:?}, limit {limit}");
        let other = Box::new(0u8);
        let there = flags(std::ptr::from_ref(&*other) as usize);
        assert!(!there.is_empty() && !there.iter().any(|flag| flag == "dd"), "{there:?}");
    }

    #[test]
    fn more_keys_than_may_be_locked_are_keys_all_the_same() {
        let keys: Vec<_> = (0..5000).map(Kept::new).collect();
        assert!(keys.iter().enumerate().all(|(at, key)| at == **key));
    }
}
