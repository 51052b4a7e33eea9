//! Fields that are missing, repeated, unknown or out of their bounds; all of it signed.

use super::{MADE, chain, document, judge};
use pox_devtee::nitro::Value;
use pox_verify::evidence::nitro::{FieldFault, NitroRejection};

fn judge_set(field: &'static str, value: Value) -> Result<(), NitroRejection> {
    let chain = chain();
    judge(&chain.sign(document(&chain).set(field, value))).map(drop)
}

fn fault(field: &'static str, fault: FieldFault) -> Result<(), NitroRejection> {
    Err(NitroRejection::Field { field, fault })
}

#[test]
fn a_document_without_a_field_is_refused() {
    let chain = chain();
    for field in ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"] {
        let quote = chain.sign(document(&chain).remove(field));
        assert_eq!(judge(&quote).map(drop), fault(field, FieldFault::Missing));
    }
    for field in ["public_key", "nonce"] {
        assert!(judge(&chain.sign(document(&chain).remove(field))).is_ok(), "{field}");
    }
}

#[test]
fn a_document_with_a_field_twice_is_refused() {
    let chain = chain();
    for at in 0..9 {
        let mut twice = document(&chain);
        let field = twice.fields[at].clone();
        let name = field.0;
        twice.fields.push(field);
        assert_eq!(judge(&chain.sign(&twice)).map(drop), fault(name, FieldFault::Repeated));
    }
}

#[test]
fn a_document_with_an_unknown_field_is_refused() {
    let chain = chain();
    for name in ["", "PCRS", "module-id", "user_data2"] {
        let mut more = document(&chain);
        more.fields.push((name, Value::Null));
        assert_eq!(judge(&chain.sign(&more)).map(drop), fault("", FieldFault::Unknown));
    }
}

#[test]
fn a_document_whose_fields_have_another_order_is_accepted() {
    let chain = chain();
    let mut reversed = document(&chain);
    reversed.fields.reverse();
    assert!(judge(&chain.sign(&reversed)).is_ok());
}

#[test]
fn a_document_that_has_its_length_in_front_is_accepted() {
    let chain = chain();
    let open = document(&chain).payload();
    let closed = [&[0xa9], &open[1..open.len() - 1]].concat();
    assert!(judge(&document(&chain).sign_payload(&chain.links[4].key, &closed)).is_ok());
}

#[test]
fn another_digest_is_refused() {
    for digest in ["SHA256", "SHA512", "sha384", ""] {
        assert_eq!(judge_set("digest", Value::Text(digest.to_owned())), Err(NitroRejection::Digest));
    }
}

#[test]
fn a_module_id_out_of_its_bounds_is_refused() {
    for length in [0, 257] {
        let id = Value::Text("i".repeat(length));
        assert_eq!(judge_set("module_id", id), fault("module_id", FieldFault::Bounds));
    }
    assert_eq!(judge_set("module_id", Value::Text("i".repeat(256))), Ok(()));
}

#[test]
fn a_time_of_zero_is_refused() {
    assert_eq!(judge_set("timestamp", Value::Number(0)), fault("timestamp", FieldFault::Bounds));
}

#[test]
fn a_time_that_no_clock_has_is_refused() {
    let judged = judge_set("timestamp", Value::Number(u64::MAX));
    assert!(matches!(judged, Err(NitroRejection::Time { made: u64::MAX, .. })));
    assert_eq!(judge_set("timestamp", Value::Number(MADE - 1)), Ok(()));
}

#[test]
fn registers_out_of_their_bounds_are_refused() {
    let with = |index: u64, length: usize| {
        let mut registers: Vec<_> = (0..3).map(|index| (index, vec![9; 48])).collect();
        registers.push((index, vec![9; length]));
        judge_set("pcrs", Value::Registers(registers))
    };
    assert_eq!(with(31, 48), Ok(()));
    for index in [32, 256, 1 << 32, u64::MAX] {
        assert_eq!(with(index, 48), fault("pcrs", FieldFault::Bounds));
    }
    for length in [0, 32, 47, 49, 64] {
        assert_eq!(with(3, length), fault("pcrs", FieldFault::Bounds));
    }
    assert_eq!(with(2, 48), fault("pcrs", FieldFault::Repeated));
    assert_eq!(judge_set("pcrs", Value::Registers(Vec::new())), fault("pcrs", FieldFault::Bounds));
}

#[test]
fn a_document_without_a_measured_register_is_refused() {
    for left_out in 0..3 {
        let registers = (0..16).filter(|index| *index != left_out).map(|index| (index, vec![9; 48]));
        let judged = judge_set("pcrs", Value::Registers(registers.collect()));
        assert_eq!(judged, fault("pcrs", FieldFault::Missing));
    }
}

#[test]
fn certificates_out_of_their_bounds_are_refused() {
    for length in [0, 1025] {
        let certificate = Value::Bytes(vec![0x30; length]);
        assert_eq!(judge_set("certificate", certificate), fault("certificate", FieldFault::Bounds));
        let bundle = Value::List(vec![vec![0x30], vec![0x30; length]]);
        assert_eq!(judge_set("cabundle", bundle), fault("cabundle", FieldFault::Bounds));
    }
    for count in [0, 9] {
        let bundle = Value::List(vec![vec![0x30]; count]);
        assert_eq!(judge_set("cabundle", bundle), fault("cabundle", FieldFault::Bounds));
    }
}

#[test]
fn what_an_enclave_chose_is_bounded() {
    for field in ["public_key", "nonce", "user_data"] {
        assert_eq!(judge_set(field, Value::Bytes(vec![1; 1025])), fault(field, FieldFault::Bounds));
    }
    for field in ["public_key", "nonce"] {
        assert_eq!(judge_set(field, Value::Bytes(vec![1; 1024])), Ok(()));
    }
}

#[test]
fn fields_of_another_type_are_refused() {
    let number = || Value::Number(7);
    let fields = [
        ("module_id", number()),
        ("digest", Value::Bytes(b"SHA384".to_vec())),
        ("timestamp", Value::Text("now".to_owned())),
        ("pcrs", Value::List(vec![vec![9; 48]; 3])),
        ("certificate", Value::Null),
        ("cabundle", number()),
        ("user_data", Value::Text("\0".repeat(64))),
    ];
    for (field, value) in fields {
        assert!(matches!(judge_set(field, value), Err(NitroRejection::Malformed(_))), "{field}");
    }
}
