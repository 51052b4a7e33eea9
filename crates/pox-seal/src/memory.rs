//! Keeps the memory of this process to itself.

use std::io;

/// Forbids core dumps of this process, and other processes of its user to look into it, until it starts another program.
///
/// Keys are wiped when they are dropped ([`FileKey`](crate::FileKey), [`Identity`](crate::Identity), the payload's key in our
/// own kernel) and so are the segments that held plaintext. What can't be kept: ring's copies of keys aren't wiped; registers
/// and what the compiler spills of them aren't either; and pages may be swapped, since locking some megabytes needs a
/// permission that users rarely have. A machine that seals secrets should encrypt its swap.
///
/// # Errors
/// The system doesn't let it.
pub fn forbid_dumps() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn a_process_is_not_dumped() {
        forbid_dumps().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
