//! The task of the guest's test: adds the numbers of its input, and says what it can see of the guest.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::Path;

fn main() {
    let numbers = std::fs::read_to_string("/in/numbers/numbers.txt").unwrap();
    let sum: u64 = numbers.lines().map(|line| line.parse::<u64>().unwrap()).sum();
    let mut found = format!("sum={sum}\n");
    for path in
        ["/dev/vport0p1", "/dev/vport0p2", "/dev/vport1p1", "/sys", "/init", "/modules", "/work", "/new"]
    {
        let seen = if Path::new(path).exists() { "there" } else { "absent" };
        writeln!(found, "{path}={seen}").unwrap();
    }
    let connect = if TcpStream::connect("127.0.0.1:1").is_ok() { "connected" } else { "refused" };
    writeln!(found, "connect={connect}").unwrap();
    let up = std::fs::read_to_string("/proc/uptime").unwrap();
    writeln!(found, "up={}", up.split(' ').next().unwrap()).unwrap();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    for line in memory.lines().filter(|line| line.starts_with("MemTotal") || line.starts_with("MemAvailable")) {
        let (name, value) = line.split_once(':').unwrap();
        writeln!(found, "{name}={}", value.trim()).unwrap();
    }
    std::fs::write("/out/found", found).unwrap();
}
