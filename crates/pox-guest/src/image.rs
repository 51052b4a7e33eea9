//! The files of the guest: kernel, initramfs, command line.
