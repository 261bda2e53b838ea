//! What crosses between Python and host functions, and a session's replies.

use crate::calls;
use crate::limits::{Charge, Limits, Memory};
use crate::value::Value;

const LIMIT: usize = 1 << 20;

#[test]
fn any_bytes_are_a_value_that_crosses_again_or_an_error() {
    super::short_run("values", 10_000, target);
}

pub(super) fn target(bytes: &[u8]) {
    let mut charged = 0;
    let mut charge = |size: usize| {
        charged += size;
        charged <= LIMIT
    };
    if let Ok(value) = Value::decode(bytes, &mut charge) {
        // A list has at most twice the room that its items need, or that of four.
        assert!(
            taken(&value) <= 4 * charged,
            "{charged} bytes were charged for {value:?}"
        );
        let sent = value.encode().expect("what came can go");
        let again = Value::decode(&sent, &mut |_| true).expect("what went can come");
        // As bytes, since NaN is not equal to itself.
        assert_eq!(again.encode().as_ref(), Ok(&sent), "{value:?}");
        conversions(&value);
    }
    let limits = Limits {
        memory: LIMIT as u64,
        ..Limits::default()
    };
    let memory = Memory::new(&limits, 0);
    let account = memory.account();
    if let Ok(arguments) = calls::decode(bytes, &mut Charge::empty(account)) {
        let mut again = arguments.clone();
        for index in 0..4 {
            let _ = again.required::<String>(index, "name");
        }
    }
    let error = "a charge that is dropped is taken back";
    assert!(Charge::new(account, LIMIT).is_some(), "{error}");
}

/// Bytes of the host's memory.
fn taken(value: &Value) -> usize {
    let pair = |(key, value): &(Value, Value)| taken(key) + taken(value);
    let behind = match value {
        Value::Str(text) => text.capacity(),
        Value::Bytes(bytes) => bytes.capacity(),
        Value::Tuple(items) | Value::List(items) => {
            let free = items.capacity() - items.len();
            free * size_of::<Value>() + items.iter().map(taken).sum::<usize>()
        }
        Value::Dict(items) => {
            let free = items.capacity() - items.len();
            2 * free * size_of::<Value>() + items.iter().map(pair).sum::<usize>()
        }
        _ => 0,
    };
    size_of::<Value>() + behind
}

fn conversions(value: &Value) {
    if let (Value::Int(int), Ok(small)) = (value, i64::try_from(value.clone())) {
        assert_eq!(*int, i128::from(small));
    }
    let _ = u8::try_from(value.clone());
    let _ = String::try_from(value.clone());
    let _ = Vec::<Value>::try_from(value.clone());
    let _ = value.get("name");
}
