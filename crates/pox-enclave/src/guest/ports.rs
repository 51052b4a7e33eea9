//! The serial ports to the host, by the names that the host gave them.

use super::{GuestError, machine};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

/// Opens the port of a name, when the kernel has found it and the host is at its other end.
pub(super) fn open(name: &'static str) -> Result<File, GuestError> {
    let begin = Instant::now();
    let mut opened = None;
    loop {
        let port = match opened.take() {
            Some(port) => Some(port),
            None => try_open(name).map_err(machine(format!("opening port {name}")))?,
        };
        // Until the host is there, a port reads as if it had ended.
        match port {
            Some(port) if is_connected(&port).map_err(machine(format!("waiting at port {name}")))? => {
                return Ok(port);
            }
            waiting => opened = waiting,
        }
        if begin.elapsed() > PATIENCE {
            return Err(GuestError::NoPort(name));
        }
        sleep(PAUSE);
    }
}

/// Switches the machine off when the host has left a port: nobody would be there to take a receipt.
pub(super) fn follow(port: &File) -> Result<(), GuestError> {
    let port = port.try_clone().map_err(machine("following the host"))?;
    let watch = move || {
        while !poll(&mut [PollFd::new(&port, PollFlags::empty())], None).is_ok_and(|ready| ready > 0) {}
        super::switch_off()
    };
    Builder::new().name("host".into()).spawn(watch).map_err(machine("following the host"))?;
    Ok(())
}

fn try_open(name: &str) -> io::Result<Option<File>> {
    let Some(device) = find(Path::new(PORTS), name) else { return Ok(None) };
    match OpenOptions::new().read(true).write(true).open(device) {
        Ok(port) => Ok(Some(port)),
        // The device's file comes a moment after its name.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_connected(port: &File) -> Result<bool, Errno> {
    let mut ports = [PollFd::new(port, PollFlags::empty())];
    poll(&mut ports, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(!ports[0].revents().contains(PollFlags::HUP))
}

/// The device of the first port with a name. The host could give one name twice; it is the host at the other end either way.
fn find(ports: &Path, name: &str) -> Option<PathBuf> {
    let mut devices: Vec<_> =
        fs::read_dir(ports).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    devices.sort_unstable();
    let device = devices.iter().find(|device| {
        fs::read_to_string(device.join("name")).is_ok_and(|found| found.trim_end_matches('\n') == name)
    })?;
    Some(Path::new("/dev").join(device.file_name()?))
}

const PORTS: &str = "/sys/class/virtio-ports";
/// Emulated machines on a busy host are slow.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_by_its_whole_name() {
        let ports = tempfile::tempdir().unwrap();
        for (device, name) in [("vport0p1", "pox.channel\n"), ("vport0p2", "pox.tee\n")] {
            fs::create_dir(ports.path().join(device)).unwrap();
            fs::write(ports.path().join(device).join("name"), name).unwrap();
        }
        fs::create_dir(ports.path().join("vport0p0")).unwrap();
        assert_eq!(find(ports.path(), "pox.tee"), Some("/dev/vport0p2".into()));
        assert_eq!(find(ports.path(), "pox"), None);
        assert_eq!(find(&ports.path().join("none"), "pox.tee"), None);
    }
}
