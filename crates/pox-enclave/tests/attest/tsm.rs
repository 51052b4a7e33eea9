//! `configfs-tsm`.

use crate::{DATA, IMPATIENT, quote_of};
use pox_core::evidence::{EvidenceKind, MAX_QUOTE_BYTES};
use pox_devtee::tsm::{FOREIGN_REPORT_DATA, Fault, File, Provider, Tsm as Stand, certificate_table};
use pox_enclave::runtime::{AttestError, Attester, Tsm};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn tdx(at: &TempDir) -> Stand {
    Stand::tdx(at.path(), quote_of).unwrap()
}

fn snp(at: &TempDir) -> Stand {
    Stand::snp(at.path(), quote_of, Vec::new()).unwrap()
}

fn client(at: &TempDir) -> Tsm {
    Tsm::detect(at.path(), IMPATIENT).unwrap().unwrap()
}

fn other(
    name: &str,
    floor: Option<u32>,
    report: impl Fn(&[u8; 64]) -> Vec<u8> + Send + Sync + 'static,
) -> Provider {
    Provider { name: name.into(), privlevel_floor: floor, auxblob: None, report: Box::new(report) }
}

/// What the client must have given back, whatever happened.
fn cleaned(stand: &Stand) {
    assert_eq!(stand.entries(), Vec::<String>::new());
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_tdx_guest_gives_a_quote_over_the_report_data() {
    let at = folder();
    let stand = tdx(&at);
    let client = client(&at);
    assert_eq!(client.kind(), EvidenceKind::Tdx);
    let quote = client.quote(&DATA).unwrap();
    assert_eq!((quote.kind, quote.quote, quote.endorsements), (EvidenceKind::Tdx, quote_of(&DATA), vec![]));
    assert!(stand.privlevels().is_empty());
    cleaned(&stand);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_snp_guest_gives_a_report_from_privilege_level_0_with_the_hosts_certificates() {
    let at = folder();
    let vcek = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd_u128.to_be_bytes();
    let stand = Stand::snp(at.path(), quote_of, certificate_table(&[(vcek, b"\x30certificate")])).unwrap();
    let client = client(&at);
    assert_eq!(client.kind(), EvidenceKind::Snp);
    let quote = client.quote(&DATA).unwrap();
    assert_eq!((quote.kind, quote.quote), (EvidenceKind::Snp, quote_of(&DATA)));
    assert_eq!(quote.endorsements.len(), 1);
    assert_eq!(
        (quote.endorsements[0].kind, quote.endorsements[0].content.as_slice()),
        (2, b"\x30certificate".as_slice())
    );
    assert_eq!(stand.privlevels(), [0]);
    cleaned(&stand);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn each_quote_has_an_entry_of_its_own() {
    let at = folder();
    let stand = tdx(&at);
    let client = client(&at);
    let before = stand.made();
    assert_ne!(client.quote(&[1; 64]).unwrap(), client.quote(&[2; 64]).unwrap());
    assert_eq!(stand.made(), before + 2);
    cleaned(&stand);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_kernel_without_a_tee_is_none() {
    let at = folder();
    assert!(Tsm::detect(at.path(), IMPATIENT).unwrap().is_none());
    let _stand = Stand::without_provider(at.path()).unwrap();
    assert!(at.path().join("report").is_dir());
    assert!(Tsm::detect(at.path(), IMPATIENT).unwrap().is_none());
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_unknown_driver_is_refused_by_name() {
    let at = folder();
    let stand = Stand::of(at.path(), other("arm_cca_guest", None, quote_of)).unwrap();
    let error = Tsm::detect(at.path(), IMPATIENT).unwrap_err();
    assert!(matches!(error, AttestError::UnknownProvider(name) if name == "arm_cca_guest"));
    cleaned(&stand);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_guest_below_privilege_level_0_is_refused() {
    let at = folder();
    let stand = Stand::of(at.path(), other("sev_guest", Some(2), quote_of)).unwrap();
    assert!(matches!(client(&at).quote(&DATA), Err(AttestError::PrivilegeLevel(2))));
    assert!(stand.privlevels().is_empty());
    cleaned(&stand);
}

/// Wherever somebody gets in between, the client asks again, and never hands out the other's quote.
#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_writer_in_between_is_noticed_and_the_report_made_again() {
    let at = folder();
    let stand = snp(&at);
    let client = client(&at);
    // Before the last write there is nothing to lose; but the generation shows it all the same.
    for file in [File::Privlevel, File::Inblob, File::Outblob] {
        let before = stand.made();
        stand.inject(Fault::Overtaken { file, times: 1 });
        assert_eq!(client.quote(&DATA).unwrap().quote, quote_of(&DATA), "{file:?}");
        assert_eq!(stand.made(), before + 2, "{file:?}");
        cleaned(&stand);
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_writer_who_is_always_in_between_is_an_error() {
    let at = folder();
    let stand = tdx(&at);
    let client = client(&at);
    let before = stand.made();
    stand.inject(Fault::Overtaken { file: File::Outblob, times: u32::MAX });
    assert!(matches!(client.quote(&DATA), Err(AttestError::Overtaken)));
    assert_eq!(stand.made(), before + IMPATIENT.attempts);
    cleaned(&stand);
}

/// Another program that floods every entry it sees: each quote is the right one or an error.
#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn no_race_gives_a_foreign_quote() {
    let at = folder();
    let stand = tdx(&at);
    let client = client(&at);
    let done = AtomicBool::new(false);
    let flood = || {
        while !done.load(Ordering::Relaxed) {
            for entry in fs::read_dir(at.path().join("report")).into_iter().flatten().flatten() {
                // Fails where the entry is gone already.
                let inblob = fs::OpenOptions::new().write(true).open(entry.path().join("inblob"));
                let _ = inblob.and_then(|mut file| file.write_all(&FOREIGN_REPORT_DATA));
            }
        }
    };
    let ends: Vec<_> = thread::scope(|scope| {
        scope.spawn(flood);
        let ends = (0..50).map(|_| client.quote(&DATA)).collect();
        done.store(true, Ordering::Relaxed);
        ends
    });
    for end in ends {
        match end {
            Ok(quote) => assert_eq!(quote.quote, quote_of(&DATA)),
            Err(AttestError::Overtaken) => {}
            Err(other) => panic!("{other}"),
        }
    }
    cleaned(&stand);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_write_that_nobody_says_was_lost_is_noticed() {
    let at = folder();
    let stand = tdx(&at);
    let client = client(&at);
    stand.inject(Fault::Dropped { times: 1 });
    assert_eq!(client.quote(&DATA).unwrap().quote, quote_of(&DATA));
    stand.inject(Fault::Dropped { times: u32::MAX });
    assert!(matches!(client.quote(&DATA), Err(AttestError::Overtaken)));
    cleaned(&stand);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn what_passes_is_waited_for() {
    let at = folder();
    let stand = snp(&at);
    let client = client(&at);
    let cases = [
        (File::Entry, libc::EEXIST),
        (File::Privlevel, libc::EBUSY),
        (File::Inblob, libc::EBUSY),
        (File::Outblob, libc::EBUSY),
        (File::Outblob, libc::EWOULDBLOCK),
        (File::Outblob, libc::EINTR),
        (File::Outblob, libc::ETIMEDOUT),
        (File::Auxblob, libc::EBUSY),
        (File::Generation, libc::EINTR),
    ];
    for (file, errno) in cases {
        stand.inject(Fault::Fails { file, errno, times: IMPATIENT.attempts - 1 });
        assert_eq!(client.quote(&DATA).unwrap().quote, quote_of(&DATA), "{file:?} {errno}");
        cleaned(&stand);
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn what_does_not_pass_in_time_is_an_error() {
    for errno in [libc::EBUSY, libc::EWOULDBLOCK, libc::ETIMEDOUT] {
        let at = folder();
        let stand = tdx(&at);
        let client = client(&at);
        let before = stand.made();
        stand.inject(Fault::Fails { file: File::Outblob, errno, times: u32::MAX });
        let error = client.quote(&DATA).unwrap_err();
        assert!(
            matches!(error, AttestError::Io { what: "outblob", source } if source.raw_os_error() == Some(errno))
        );
        assert_eq!(stand.made(), before + IMPATIENT.attempts);
        cleaned(&stand);
    }
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn what_does_not_pass_at_all_is_not_tried_again() {
    let files = [
        (File::Entry, "a new report"),
        (File::Provider, "provider"),
        (File::Generation, "generation"),
        (File::PrivlevelFloor, "privlevel_floor"),
        (File::Privlevel, "privlevel"),
        (File::Inblob, "inblob"),
        (File::Outblob, "outblob"),
        (File::Auxblob, "auxblob"),
    ];
    let at = folder();
    let stand = snp(&at);
    let client = client(&at);
    for (file, name) in files {
        for errno in [libc::EIO, libc::ENXIO, libc::ENOTTY, libc::ENOSPC] {
            stand.inject(Fault::Fails { file, errno, times: 1 });
            match client.quote(&DATA) {
                Err(AttestError::Io { what, source }) => {
                    assert_eq!((what, source.raw_os_error()), (name, Some(errno)));
                }
                other => panic!("{name} {errno}: {other:?}"),
            }
            cleaned(&stand);
        }
    }
    assert_eq!(client.quote(&DATA).unwrap().quote, quote_of(&DATA));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn short_reads_are_read_to_their_end() {
    let at = folder();
    let stand = tdx(&at);
    let client = client(&at);
    stand.inject(Fault::ShortReads(1));
    assert_eq!(client.quote(&DATA).unwrap().quote, quote_of(&DATA));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_empty_quote_is_refused() {
    let at = folder();
    let stand = Stand::tdx(at.path(), |_| Vec::new()).unwrap();
    assert!(matches!(client(&at).quote(&DATA), Err(AttestError::Malformed("outblob"))));
    cleaned(&stand);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_oversized_quote_is_refused() {
    // Beyond our bound, and beyond the kernel's own.
    for size in [MAX_QUOTE_BYTES + 1, pox_devtee::tsm::MAX_BLOB_BYTES + 1] {
        let at = folder();
        let stand = Stand::tdx(at.path(), move |_| vec![1; size]).unwrap();
        let error = client(&at).quote(&DATA).unwrap_err();
        assert!(matches!(error, AttestError::TooLarge { what: "outblob", most: MAX_QUOTE_BYTES }), "{error}");
        cleaned(&stand);
    }
    let at = folder();
    let _stand = Stand::tdx(at.path(), |_| vec![1; MAX_QUOTE_BYTES]).unwrap();
    assert_eq!(client(&at).quote(&DATA).unwrap().quote.len(), MAX_QUOTE_BYTES);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_host_with_nonsense_for_certificates_gives_none() {
    for nonsense in [vec![], vec![0; 4096], vec![0xff; 4096], vec![7; pox_devtee::tsm::MAX_BLOB_BYTES + 1]] {
        let at = folder();
        let _stand = Stand::snp(at.path(), quote_of, nonsense).unwrap();
        let quote = client(&at).quote(&DATA).unwrap();
        assert_eq!((quote.quote, quote.endorsements), (quote_of(&DATA), vec![]));
    }
    // A kernel that hides the file from guests of its kind.
    let at = folder();
    let _stand = Stand::of(at.path(), other("sev_guest", Some(0), quote_of)).unwrap();
    assert_eq!(client(&at).quote(&DATA).unwrap().endorsements, []);
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn a_driver_that_changed_since_is_refused() {
    let at = folder();
    let client = {
        let _stand = tdx(&at);
        client(&at)
    };
    let _stand = snp(&at);
    assert!(matches!(client.quote(&DATA), Err(AttestError::Malformed("provider"))));
}

#[test]
#[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
fn an_interface_that_went_away_is_an_error() {
    let at = folder();
    let client = {
        let _stand = tdx(&at);
        client(&at)
    };
    assert!(matches!(client.quote(&DATA), Err(AttestError::Io { what: "a new report", .. })));
}

/// The stand-in itself is worth no more than its likeness.
mod stand_in {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::{ErrorKind, Read, Write};

    fn entry(at: &TempDir) -> std::path::PathBuf {
        let entry = at.path().join("report/one");
        fs::create_dir(&entry).unwrap();
        entry
    }

    fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        OpenOptions::new().write(true).open(path)?.write_all(bytes)
    }

    fn number(path: &Path) -> u64 {
        fs::read_to_string(path).unwrap().trim_end().parse().unwrap()
    }

    #[test]
    #[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
    fn attributes_appear_and_go_with_their_entry() {
        let at = folder();
        let _stand = snp(&at);
        let entry = entry(&at);
        let mut names: Vec<_> =
            fs::read_dir(&entry).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let expected =
            ["auxblob", "generation", "inblob", "outblob", "privlevel", "privlevel_floor", "provider"];
        assert_eq!(names, expected);
        assert_eq!(fs::read_to_string(entry.join("provider")).unwrap(), "sev_guest\n");
        assert_eq!(fs::read_to_string(entry.join("privlevel_floor")).unwrap(), "0\n");
        assert_eq!(fs::create_dir(&entry).unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::create_dir(at.path().join("other")).unwrap_err();
        fs::create_dir(entry.join("deeper")).unwrap_err();
        fs::remove_dir(&entry).unwrap();
        assert!(!entry.exists());
    }

    #[test]
    #[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
    fn files_are_read_only_or_write_only() {
        let at = folder();
        let _stand = snp(&at);
        let entry = entry(&at);
        for name in ["inblob", "privlevel"] {
            assert_eq!(fs::read(entry.join(name)).unwrap_err().kind(), ErrorKind::PermissionDenied, "{name}");
        }
        for name in ["outblob", "auxblob", "generation", "provider", "privlevel_floor"] {
            let refused = put(&entry.join(name), b"1").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{name}");
        }
    }

    #[test]
    #[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
    fn the_quote_needs_report_data_of_the_right_length() {
        let at = folder();
        let _stand = tdx(&at);
        let entry = entry(&at);
        let refused = || fs::read(entry.join("outblob")).unwrap_err().raw_os_error();
        assert_eq!(refused(), Some(libc::EINVAL));
        put(&entry.join("inblob"), &[1; 63]).unwrap();
        assert_eq!(refused(), Some(libc::EINVAL));
        let too_long = put(&entry.join("inblob"), &[1; 65]).unwrap_err();
        assert_eq!(too_long.raw_os_error(), Some(libc::EFBIG));
        put(&entry.join("inblob"), &[1; 64]).unwrap();
        assert_eq!(fs::read(entry.join("outblob")).unwrap(), quote_of(&[1; 64]));
    }

    #[test]
    #[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
    fn every_write_that_counts_counts_once_and_when_closed() {
        let at = folder();
        let _stand = snp(&at);
        let entry = entry(&at);
        let generation = entry.join("generation");
        assert_eq!(number(&generation), 0);
        put(&entry.join("privlevel"), b"0x1\n").unwrap();
        assert_eq!(number(&generation), 1);
        for wrong in ["4", "-1", "x"] {
            let refused = put(&entry.join("privlevel"), wrong.as_bytes()).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
        }
        assert_eq!(number(&generation), 1);
        let mut inblob = OpenOptions::new().write(true).open(entry.join("inblob")).unwrap();
        inblob.write_all(&[1; 32]).unwrap();
        inblob.write_all(&[2; 32]).unwrap();
        assert_eq!(number(&generation), 1);
        drop(inblob);
        assert_eq!(number(&generation), 2);
    }

    #[test]
    #[ignore = "needs /dev/fuse and the right to mount: run by .ci/run"]
    fn an_open_file_goes_on_with_the_report_that_it_began_with() {
        let at = folder();
        let _stand = tdx(&at);
        let entry = entry(&at);
        put(&entry.join("inblob"), &[1; 64]).unwrap();
        let mut outblob = fs::File::open(entry.join("outblob")).unwrap();
        let mut first = [0; 20];
        outblob.read_exact(&mut first).unwrap();
        put(&entry.join("inblob"), &[2; 64]).unwrap();
        let mut rest = Vec::new();
        outblob.read_to_end(&mut rest).unwrap();
        assert_eq!([first.as_slice(), &rest].concat(), quote_of(&[1; 64]));
        assert_eq!(fs::read(entry.join("outblob")).unwrap(), quote_of(&[2; 64]));
    }
}
