use super::*;

fn header(typeflag: u8, name: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = typeflag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn with_content(typeflag: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = header(typeflag, name, content.len() as u64);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length += 1;
    }
    format!("{length}{rest}").into_bytes()
}

fn entries(bytes: &[u8]) -> Result<Vec<Entry>, Invalid> {
    let mut archive = Archive::new(bytes);
    let mut all = vec![];
    while let Some(entry) = archive.next_entry(&Limits::default())? {
        all.push(entry);
    }
    Ok(all)
}

#[test]
fn reads_files_and_extensions() {
    let long = "d/".repeat(80) + "file";
    let pax = [record("path", &long), record("size", "3"), record("mtime", "7.5")].concat();
    let mut bytes = with_content(b'x', b"pax", &pax);
    let mut file = header(b'0', b"short", 0);
    file.extend_from_slice(b"abc");
    file.resize(2 * BLOCK, 0);
    bytes.extend(file);
    bytes.extend(with_content(b'L', b"././@LongLink", b"gnu-name\0"));
    bytes.extend(with_content(b'0', b"cut", b""));
    bytes.extend([0; 2 * BLOCK]);
    let all = entries(&bytes).unwrap();
    assert_eq!(all[0].path, long.as_bytes());
    assert_eq!((all[0].kind.clone(), all[0].mtime), (Kind::File { size: 3 }, 7));
    assert_eq!(all[1].path, b"gnu-name");
    assert_eq!(all.len(), 2);
}

#[test]
fn ends_at_the_end_of_the_stream_too() {
    assert_eq!(entries(b"").unwrap(), []);
    assert_eq!(entries(&with_content(b'0', b"a", b"x")).unwrap().len(), 1);
}

#[test]
fn refuses_what_readers_read_differently() {
    let file = with_content(b'0', b"a", b"x");
    let mut damaged = file.clone();
    damaged[0] ^= 1;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("cut in a header", file[..100].to_vec()),
        ("cut in the content", file[..BLOCK + 1].to_vec()),
        ("wrong checksum", damaged),
        ("zero block, then more", [vec![0; BLOCK], file.clone()].concat()),
        ("directory with content", header(b'5', b"d", 512)),
        ("hard link with content", header(b'1', b"d", 512)),
        ("sparse", header(b'S', b"d", 0)),
        ("unknown kind", header(b'Z', b"d", 0)),
        ("two pax headers", [with_content(b'x', b"p", &record("a", "b")).repeat(2), file.clone()].concat()),
        ("pax then end", with_content(b'x', b"p", &record("a", "b"))),
        ("pax sparse", [with_content(b'x', b"p", &record("GNU.sparse.major", "1")), file.clone()].concat()),
        ("pax length beyond end", with_content(b'x', b"p", b"99 a=b\n")),
        ("pax length of zero", with_content(b'x', b"p", b"0 a=b\n")),
        ("pax negative size", with_content(b'x', b"p", &record("size", "-1"))),
        ("global path", with_content(b'g', b"p", &record("path", "/etc/passwd"))),
    ];
    for (what, bytes) in cases {
        assert!(entries(&bytes).is_err(), "{what}");
    }
}

#[test]
fn holds_no_extension_beyond_its_bound() {
    let huge = header(b'x', b"p", Limits::default().extension_bytes + 1);
    assert!(matches!(entries(&huge), Err(Invalid::TooBig { .. })));
}
