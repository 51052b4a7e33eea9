//! The replay of recorded logs, against registers that real hardware signed beside them.

use pox_guest::measure::Digest384;
use pox_guest::measure::event_log::{
    Event, EventLog, EventLogError, MAX_EVENTS, MAX_LOG_BYTES, ReplayMismatch, runtime_digest,
};
use pox_guest::measure::tdx::{rtmr1, rtmr2};
use proptest::prelude::*;
use serde_json::Value;

const GOOGLE_LOG: &[u8] = include_bytes!("../data/go-tdx-guest/ccel_data.dat");
const GOOGLE_QUOTE: &[u8] = include_bytes!("../data/go-tdx-guest/cos-113-tdx-quote.dat");
const DSTACK: &str = include_str!("../data/dstack/quote-report.json");
/// What dstack's runtime calls its own events.
const DSTACK_RUNTIME: u32 = 0x0800_0001;

#[test]
fn a_recorded_log_replays_to_what_the_hardware_signed() {
    let log = EventLog::parse(GOOGLE_LOG).unwrap();
    assert_eq!(log.events().len(), 43);
    assert_eq!(log.check(&rtmrs(GOOGLE_QUOTE)), Ok(()));
    // The separator's content is its digest's; of the firmware's volume the log has only a name.
    assert!(log.events()[7].is_of_content());
    assert!(!log.events()[1].is_of_content());
}

#[test]
fn a_log_with_runtime_events_replays_to_all_four_registers() {
    let (signed, events) = dstack();
    let log = EventLog::new(events.iter().map(Recorded::event).collect()).unwrap();
    assert_eq!(log.check(&signed), Ok(()));
    let mut runtime = 0;
    for event in events.iter().filter(|event| event.kind == DSTACK_RUNTIME) {
        assert_eq!(event.register, 3);
        assert_eq!(runtime_digest(event.kind, &event.name, &event.payload), event.digest);
        runtime += 1;
    }
    assert_eq!(runtime, 8);
}

/// The order and the texts of the events that we predict are those of a real direct boot.
#[test]
fn a_recorded_direct_boot_has_the_predicted_registers() {
    let (signed, events) = dstack();
    let first = |register, kind| {
        events.iter().find(|event| (event.register, event.kind) == (register, kind)).unwrap().digest
    };
    assert_eq!(rtmr1(first(1, 0x8000_0003)), signed[1]);
    let tagged: Vec<Digest384> =
        events.iter().filter(|event| event.kind == 6).map(|event| event.digest).collect();
    assert_eq!(rtmr2(tagged[0], tagged[1]), signed[2]);
}

#[test]
fn an_event_log_that_does_not_replay_is_refused() {
    let signed = rtmrs(GOOGLE_QUOTE);
    let log = EventLog::parse(GOOGLE_LOG).unwrap();
    let all = log.events().to_vec();
    for (index, event) in all.iter().enumerate() {
        let expect_refusal = |events: Vec<Event<'_>>| {
            let refusal = EventLog::new(events).unwrap().check(&signed).unwrap_err();
            assert_eq!(refusal.register, usize::from(event.register), "event {index}");
            assert_eq!(refusal.stated, signed[refusal.register]);
        };
        let mut left_out = all.clone();
        left_out.remove(index);
        expect_refusal(left_out);
        let mut twice = all.clone();
        twice.insert(index, *event);
        expect_refusal(twice);
        let mut changed = all.clone();
        changed[index].digest.0[index % 48] ^= 1;
        expect_refusal(changed);
    }
    let mut swapped = all;
    swapped.swap(2, 3);
    assert!(matches!(
        EventLog::new(swapped).unwrap().check(&signed),
        Err(ReplayMismatch { register: 0, .. })
    ));
}

#[test]
fn the_filling_behind_the_last_event_is_of_no_consequence() {
    let end = 18_101;
    assert_eq!(GOOGLE_LOG[end..], vec![0xff; GOOGLE_LOG.len() - end]);
    let log = EventLog::parse(GOOGLE_LOG).unwrap();
    for filling in [&[][..], &[0xff; 3], &[0; 20], &[0; 7]] {
        let area = [&GOOGLE_LOG[..end], filling].concat();
        assert_eq!(EventLog::parse(&area).unwrap(), log);
    }
    for count in [1, 7, 11] {
        let area = [&GOOGLE_LOG[..end], &[1_u8; 11][..count]].concat();
        assert_eq!(EventLog::parse(&area), Err(EventLogError::Truncated(44)));
    }
}

#[test]
fn a_log_that_is_cut_short_is_refused_or_does_not_replay() {
    let signed = rtmrs(GOOGLE_QUOTE);
    for end in 0..18_101 {
        let outcome = EventLog::parse(&GOOGLE_LOG[..end]).map(|log| log.check(&signed));
        assert!(!matches!(outcome, Ok(Ok(()))), "cut at {end}");
    }
}

#[test]
fn only_a_log_with_sha384_alone_is_read() {
    let changed = |at: usize, byte: u8| {
        let mut log = GOOGLE_LOG.to_vec();
        log[at] = byte;
        log
    };
    // Event type, signature, number of algorithms, algorithm, its digest's bytes, the vendor's part.
    for (at, byte) in [(4, 4), (32 + 14, b'4'), (32 + 24, 2), (32 + 28, 0x0b), (32 + 30, 32), (32 + 32, 1)] {
        assert_eq!(EventLog::parse(&changed(at, byte)), Err(EventLogError::Header), "byte {at}");
    }
    let first = 32 + 33;
    assert_eq!(EventLog::parse(&changed(first + 8, 2)), Err(EventLogError::Digest(1)));
    assert_eq!(EventLog::parse(&changed(first + 12, 0x0b)), Err(EventLogError::Digest(1)));
}

#[test]
fn events_of_registers_that_no_guest_extends_are_refused() {
    let first = 32 + 33;
    for (byte, register) in [(0, 0), (5, 5), (200, 200)] {
        let mut log = GOOGLE_LOG.to_vec();
        log[first] = byte;
        assert_eq!(EventLog::parse(&log), Err(EventLogError::Register { event: 1, register }));
    }
    let event = Event { register: 4, kind: 4, digest: Digest384::ZERO, content: b"" };
    assert_eq!(EventLog::new(vec![event]), Err(EventLogError::Register { event: 1, register: 5 }));
}

#[test]
fn oversized_logs_are_refused() {
    assert_eq!(EventLog::parse(&vec![0; MAX_LOG_BYTES + 1]), Err(EventLogError::TooLarge(MAX_LOG_BYTES + 1)));
    let event = Event { register: 0, kind: 4, digest: Digest384::ZERO, content: b"" };
    assert_eq!(EventLog::new(vec![event; MAX_EVENTS + 1]), Err(EventLogError::TooManyEvents));
    let mut log = GOOGLE_LOG[..32 + 33].to_vec();
    let raw = [&[1, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 12, 0][..], &[7; 48], &[0; 4]].concat();
    (0..=MAX_EVENTS).for_each(|_| log.extend(&raw));
    assert_eq!(EventLog::parse(&log), Err(EventLogError::TooManyEvents));
    // A length field that promises what there is not.
    let mut log = GOOGLE_LOG.to_vec();
    log[32 + 33 + 62..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(EventLog::parse(&log), Err(EventLogError::Truncated(1)));
}

#[test]
fn names_and_payloads_of_runtime_events_are_not_ambiguous() {
    assert_ne!(runtime_digest(1, "ab", b"c"), runtime_digest(1, "a", b"bc"));
    assert_ne!(runtime_digest(1, "a", b""), runtime_digest(2, "a", b""));
}

proptest! {
    /// No byte of the events can be changed unseen, but those that only describe: kind and content.
    #[test]
    fn a_changed_byte_is_refused_unless_it_only_describes(at in 0_usize..18_101, bits in 1_u8..) {
        let mut area = GOOGLE_LOG.to_vec();
        area[at] ^= bits;
        if let Ok(log) = EventLog::parse(&area)
            && log.check(&rtmrs(GOOGLE_QUOTE)).is_ok()
        {
            let original = EventLog::parse(GOOGLE_LOG).unwrap();
            let digests = |log: &EventLog<'_>| -> Vec<_> {
                log.events().iter().map(|event| (event.register, event.digest)).collect()
            };
            prop_assert_eq!(digests(&log), digests(&original));
        }
    }
}

/// An event in dstack's form.
struct Recorded {
    register: u8,
    kind: u32,
    digest: Digest384,
    name: String,
    payload: Vec<u8>,
}

impl Recorded {
    fn event(&self) -> Event<'_> {
        Event { register: self.register, kind: self.kind, digest: self.digest, content: &self.payload }
    }
}

fn dstack() -> ([Digest384; 4], Vec<Recorded>) {
    let report: Value = serde_json::from_str(DSTACK).unwrap();
    let events: Value = serde_json::from_str(report["event_log"].as_str().unwrap()).unwrap();
    let events = events.as_array().unwrap().iter().map(|event| Recorded {
        register: event["imr"].as_u64().unwrap().try_into().unwrap(),
        kind: event["event_type"].as_u64().unwrap().try_into().unwrap(),
        digest: event["digest"].as_str().unwrap().parse().unwrap(),
        name: event["event"].as_str().unwrap().to_owned(),
        payload: hex::decode(event["event_payload"].as_str().unwrap()).unwrap(),
    });
    let quote = hex::decode(report["quote"].as_str().unwrap()).unwrap();
    (rtmrs(&quote), events.collect())
}

/// The runtime registers of a version 4 quote: header of 48 bytes, then a TD report body that has them at 328.
fn rtmrs(quote: &[u8]) -> [Digest384; 4] {
    [0, 1, 2, 3].map(|index| Digest384(quote[48 + 328 + index * 48..][..48].try_into().unwrap()))
}
