//! What an operator may try.

use super::{LAUNCHED, MADE, REPORT_DATA, chain, document, judge, roots, vendor, window};
use pox_core::evidence::{Claims, Purpose};
use pox_core::{Address, B256, ReceiptId, TaskId, UnixTime};
use pox_devtee::Seed;
use pox_devtee::nitro::{Value, Vendor};
use pox_verify::evidence::launch::Window;
use pox_verify::evidence::nitro::{CertificateFault, NitroRejection, appraise};

fn registers(zeroed: &[u64]) -> Value {
    let value = |index| if zeroed.contains(&index) { vec![0; 48] } else { vec![9; 48] };
    Value::Registers((0..16).map(|index| (index, value(index))).collect())
}

#[test]
fn a_document_of_the_development_vendor_is_accepted_with_its_root_alone() {
    let launch = judge(&chain().sign(&document(&chain()))).unwrap();
    assert_eq!(launch.report_data, REPORT_DATA);
    assert_eq!(launch.registers[2].value, [3; 48]);
    assert_eq!(launch.platform.unwrap().bytes, vendor().module_id().as_bytes());
}

#[test]
fn a_debug_enclave_is_refused() {
    let chain = chain();
    for (zeroed, index) in [(&[0, 1, 2][..], 0), (&[0][..], 0), (&[1][..], 1), (&[2][..], 2)] {
        let quote = chain.sign(document(&chain).set("pcrs", registers(zeroed)));
        assert_eq!(judge(&quote), Err(NitroRejection::Debug(index)));
    }
    let quote = chain.sign(document(&chain).set("pcrs", registers(&[3, 4, 8])));
    assert!(judge(&quote).is_ok());
}

#[test]
fn another_image_has_another_measurement() {
    let chain = chain();
    let measured =
        |registers| judge(&chain.sign(document(&chain).set("pcrs", registers))).unwrap().measurement();
    let all = |change: u64, byte: usize| {
        let mut values: Vec<_> = (0..16u64).map(|index| (index, vec![9; 48])).collect();
        values[change as usize].1[byte] ^= 1;
        Value::Registers(values)
    };
    let expected = measured(registers(&[]));
    for index in 0..3 {
        // Also where only the end differs: no prefix counts.
        assert_ne!(measured(all(index, 0)), expected, "PCR{index}");
        assert_ne!(measured(all(index, 47)), expected, "PCR{index}");
    }
    for index in 3..16 {
        assert_eq!(measured(all(index, 0)), expected, "PCR{index}");
    }
}

#[test]
fn registers_can_not_be_swapped() {
    let chain = chain();
    let measured = |order: [u8; 3]| {
        let values = (0..3).zip(order).map(|(index, byte)| (index, vec![byte; 48])).collect();
        judge(&chain.sign(document(&chain).set("pcrs", Value::Registers(values)))).unwrap().measurement()
    };
    assert_ne!(measured([1, 2, 3]), measured([1, 3, 2]));
    assert_ne!(measured([1, 2, 3]), measured([2, 1, 3]));
}

#[test]
fn a_document_outside_its_window_is_refused() {
    let quote = chain().sign(&document(&chain()));
    let roots = roots(vendor().root());
    let made = UnixTime(MADE / 1000);
    for (from, until) in [(made.0 + 1, made.0 + 60), (made.0 - 60, made.0 - 1)] {
        let window = Window { from: UnixTime(from), until: UnixTime(until) };
        let judged = appraise(&quote, &[], &roots, window);
        assert_eq!(judged, Err(NitroRejection::Time { made: MADE, window }));
    }
}

#[test]
fn a_chain_to_another_root_is_refused() {
    let quote = chain().sign(&document(&chain()));
    let another = Vendor::new(Seed([8; 32])).root();
    assert_eq!(appraise(&quote, &[], &roots(another), window()), Err(NitroRejection::Root));
}

#[test]
fn a_root_in_the_document_is_not_believed() {
    // All of another vendor's, but the first certificate.
    let (ours, theirs) = (chain(), Vendor::new(Seed([8; 32])).chain(LAUNCHED));
    let mut bundle = theirs.certificates();
    bundle.truncate(4);
    bundle[0] = ours.certificates().swap_remove(0);
    let quote = theirs.sign(document(&theirs).set("cabundle", Value::List(bundle)));
    assert_eq!(judge(&quote), Err(NitroRejection::Root));
}

#[test]
fn a_root_in_the_document_is_not_needed() {
    let chain = chain();
    let mut bundle = chain.certificates();
    bundle.truncate(4);
    bundle[0] = vec![1];
    let quote = chain.sign(document(&chain).set("cabundle", Value::List(bundle)));
    assert!(judge(&quote).is_ok());
}

#[test]
fn another_algorithm_is_refused() {
    let chain = chain();
    // ES256, ES512, PS384, EdDSA, HMAC 384, and none.
    let algorithms: [(&[u8], Option<i64>); 6] = [
        (&[0xa1, 0x01, 0x26], Some(-7)),
        (&[0xa1, 0x01, 0x38, 0x23], Some(-36)),
        (&[0xa1, 0x01, 0x38, 0x25], Some(-38)),
        (&[0xa1, 0x01, 0x27], Some(-8)),
        (&[0xa1, 0x01, 0x06], Some(6)),
        (&[0xa0], None),
    ];
    for (protected, algorithm) in algorithms {
        let mut document = document(&chain);
        document.protected = protected.to_vec();
        assert_eq!(judge(&chain.sign(&document)), Err(NitroRejection::Algorithm(algorithm)));
    }
}

#[test]
fn critical_headers_are_refused() {
    let chain = chain();
    let mut document = document(&chain);
    // {1: -35, 2: [-65537]}
    document.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x3a, 0x00, 0x01, 0x00, 0x00];
    assert_eq!(judge(&chain.sign(&document)), Err(NitroRejection::CriticalHeader));
}

#[test]
fn other_headers_are_refused() {
    let chain = chain();
    let signed = |protected: &[u8], unprotected: &[u8]| {
        let mut document = document(&chain);
        document.protected = protected.to_vec();
        document.unprotected = unprotected.to_vec();
        judge(&chain.sign(&document))
    };
    let only = [0xa1, 0x01, 0x38, 0x22];
    assert!(signed(&only, &[0xa0]).is_ok());
    // An algorithm where nobody signs it, a key id, an algorithm twice, a name that is a text, bytes after the headers.
    assert_eq!(signed(&only, &[0xa1, 0x01, 0x38, 0x22]), Err(NitroRejection::Header));
    assert_eq!(signed(&only, &[0xa1, 0x04, 0x41, 0x00]), Err(NitroRejection::Header));
    assert_eq!(signed(&[0xa2, 0x01, 0x38, 0x22, 0x01, 0x26], &[0xa0]), Err(NitroRejection::Header));
    assert_eq!(signed(&[0xa1, 0x61, 0x61, 0x00], &[0xa0]), Err(NitroRejection::Header));
    assert_eq!(signed(&[0xa1, 0x01, 0x38, 0x22, 0x00], &[0xa0]), Err(NitroRejection::Header));
}

#[test]
fn a_swapped_leaf_is_refused() {
    // Another enclave of the same instance: the same authorities, another key and certificate.
    let (ours, mut theirs) = (chain(), chain());
    theirs.links[4].key = Vendor::new(Seed([8; 32])).chain(LAUNCHED).links[4].key.clone();
    let leaf = theirs.certificates().pop().unwrap();
    let swapped = ours.sign(document(&ours).set("certificate", Value::Bytes(leaf)));
    assert_eq!(judge(&swapped), Err(NitroRejection::Signature));
    assert_eq!(judge(&theirs.sign(&document(&ours))), Err(NitroRejection::Signature));
    assert!(judge(&theirs.sign(&document(&theirs))).is_ok());
}

#[test]
fn a_leaf_of_another_vendor_is_refused() {
    let (ours, theirs) = (chain(), Vendor::new(Seed([8; 32])).chain(LAUNCHED));
    let leaf = theirs.certificates().pop().unwrap();
    let quote = theirs.sign(document(&ours).set("certificate", Value::Bytes(leaf)));
    let fault = CertificateFault::Issuer;
    assert_eq!(judge(&quote), Err(NitroRejection::Certificate { position: 4, fault }));
}

#[test]
fn a_payload_under_the_signature_of_another_is_refused() {
    let chain = chain();
    let (one, two) =
        (chain.sign(&document(&chain)), chain.sign(document(&chain).set("nonce", Value::Bytes(vec![1]))));
    assert!(judge(&one).is_ok() && judge(&two).is_ok());
    let spliced = [&one[..one.len() - 96], &two[two.len() - 96..]].concat();
    assert_eq!(judge(&spliced), Err(NitroRejection::Signature));
}

#[test]
fn report_data_of_other_claims_is_told_apart() {
    let claims = |task: u8| Claims {
        purpose: Purpose::Key,
        task: TaskId(B256::repeat_byte(task)),
        enclave: Address::repeat_byte(2),
        recipient: B256::repeat_byte(3),
        block_number: 4,
        block_hash: B256::repeat_byte(5),
        previous: B256::ZERO,
        receipt: ReceiptId(B256::ZERO),
        processor: Address::repeat_byte(6),
    };
    let chain = chain();
    let data = Value::Bytes(claims(1).report_data().to_vec());
    let launch = judge(&chain.sign(document(&chain).set("user_data", data))).unwrap();
    assert_eq!(launch.report_data, claims(1).report_data());
    assert_ne!(launch.report_data, claims(2).report_data());
}

#[test]
fn user_data_that_is_no_report_data_is_refused() {
    let chain = chain();
    for length in [0, 32, 63, 65, 512] {
        let quote = chain.sign(document(&chain).set("user_data", Value::Bytes(vec![1; length])));
        assert_eq!(judge(&quote), Err(NitroRejection::ReportData(Some(length))));
    }
    let quote = chain.sign(document(&chain).set("user_data", Value::Null));
    assert_eq!(judge(&quote), Err(NitroRejection::ReportData(None)));
    let quote = chain.sign(document(&chain).remove("user_data"));
    assert_eq!(judge(&quote), Err(NitroRejection::ReportData(None)));
    // Neither of the other two fields that the enclave chooses takes its place.
    let mut elsewhere = document(&chain);
    elsewhere.set("user_data", Value::Null).set("nonce", Value::Bytes(REPORT_DATA.to_vec()));
    assert_eq!(judge(&chain.sign(&elsewhere)), Err(NitroRejection::ReportData(None)));
}

#[test]
fn the_launch_data_is_the_first_register_that_the_enclave_locks() {
    let chain = chain();
    let mut values: Vec<_> = (0..16u64).map(|index| (index, vec![9; 48])).collect();
    values.push((17, vec![7; 48]));
    let quote = chain.sign(document(&chain).set("pcrs", Value::Registers(values.clone())));
    assert_eq!(judge(&quote).unwrap().launch_data, None);
    values.push((16, vec![8; 48]));
    let launch = judge(&chain.sign(document(&chain).set("pcrs", Value::Registers(values)))).unwrap();
    assert_eq!(launch.launch_data, Some(vec![8; 48]));
    let names: Vec<_> = launch.registers.iter().map(|register| register.name).collect();
    assert_eq!(names[14..], ["PCR14", "PCR15", "PCR16", "PCR17"]);
    assert!(launch.registers[3..].iter().all(|register| !register.measured));
}
