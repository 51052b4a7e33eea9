//! The mark of what a check has established.

use core::ops::Deref;

/// A value that a check of this crate has established; nobody else can make one.
///
/// What exactly was established is said where it is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Only for the function that has made the check.
    pub(crate) fn by_check(value: T) -> Self {
        Self(value)
    }

    /// The value, without its mark.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
