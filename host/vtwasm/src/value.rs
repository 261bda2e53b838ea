//! Python's values in Rust, and the form in which they cross: CPython's marshal format, version 2.
//!
//! The format has no references and no code in what is read here, CPython writes and reads it in C, and
//! it knows all that a [`Value`] does (`Python/marshal.c` of CPython 3.13 is its definition).

use std::fmt;

/// Values nest at most so deep.
const MAX_DEPTH: usize = 200;
/// marshal's digits of long ints.
const DIGIT_BITS: u32 = 15;

/// A value of Python. `int` is limited to 128 bits; of `str`, `tuple` and the others only the very types
/// cross, no subclasses.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    #[default]
    None,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i128),
    /// `float`.
    Float(f64),
    /// `str`; one with lone surrogates does not cross.
    Str(String),
    /// `bytes`. `bytearray`, `memoryview` and `array` come out as this, too.
    Bytes(Vec<u8>),
    /// `tuple`.
    Tuple(Vec<Value>),
    /// `list`.
    List(Vec<Value>),
    /// `dict`, in its order.
    Dict(Vec<(Value, Value)>),
    /// `repr()` of the result of a [`Session`](crate::Session)'s call that is, or holds, anything else. It
    /// cannot be sent.
    Other(String),
}

impl Value {
    /// The value of a dict's key that is a `str`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Dict(items) = self else { return None };
        let mut found = items
            .iter()
            .filter(|(name, _)| matches!(name, Value::Str(name) if name == key));
        found.next().map(|(_, value)| value)
    }
}

/// A value, or one in it, that has no counterpart on the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoConversion(pub(crate) String);

fn none<T>(what: impl fmt::Display) -> Result<T, NoConversion> {
    Err(NoConversion(what.to_string()))
}

macro_rules! conversions {
    ($($variant:ident($name:literal): $($type:ty),+;)+) => {$($(
        impl From<$type> for Value {
            fn from(value: $type) -> Value {
                Value::$variant(value.into())
            }
        }
        impl TryFrom<Value> for $type {
            type Error = NoConversion;
            fn try_from(value: Value) -> Result<$type, NoConversion> {
                match value {
                    Value::$variant(value) => value.try_into().or_else(|_| none(concat!(
                        "the ", $name, " does not fit into ", stringify!($type)))),
                    other => none(format_args!(concat!($name, " expected, not {}"), other.type_name())),
                }
            }
        }
    )+)+};
}

conversions! {
    Bool("bool"): bool;
    Int("int"): i8, i16, i32, i64, i128, u8, u16, u32, u64;
    Float("float"): f64;
    Str("str"): String;
    Bytes("bytes"): Vec<u8>;
    List("list"): Vec<Value>;
}

impl From<()> for Value {
    fn from((): ()) -> Value {
        Value::None
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Str(value.to_owned())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, Into::into)
    }
}

impl Value {
    /// As Python calls it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::Tuple(_) => "tuple",
            Value::List(_) => "list",
            Value::Dict(_) => "dict",
            Value::Other(_) => "object",
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, NoConversion> {
        let mut out = Vec::new();
        self.encode_into(&mut out, MAX_DEPTH)?;
        Ok(out)
    }

    fn encode_into(&self, out: &mut Vec<u8>, depth: usize) -> Result<(), NoConversion> {
        match self {
            Value::None => out.push(b'N'),
            Value::Bool(value) => out.push(if *value { b'T' } else { b'F' }),
            Value::Int(value) => encode_int(*value, out),
            Value::Float(value) => {
                out.push(b'g');
                out.extend(value.to_le_bytes());
            }
            Value::Str(text) => encode_bytes(b'u', text.as_bytes(), out)?,
            Value::Bytes(bytes) => encode_bytes(b's', bytes, out)?,
            Value::Tuple(items) => encode_items(b'(', items, out, depth)?,
            Value::List(items) => encode_items(b'[', items, out, depth)?,
            Value::Dict(items) => {
                let depth = deeper(depth)?;
                out.push(b'{');
                for (key, value) in items {
                    key.encode_into(out, depth)?;
                    value.encode_into(out, depth)?;
                }
                out.push(b'0');
            }
            Value::Other(repr) => return none(format_args!("{repr} has no conversion")),
        }
        Ok(())
    }

    /// What `bytes` hold; `charge` is asked before memory is taken for it, with a number of bytes.
    pub(crate) fn decode(bytes: &[u8], charge: &mut dyn FnMut(usize) -> bool) -> Result<Value, NoConversion> {
        let mut decoder = Decoder { bytes, charge };
        let value = decoder.value(MAX_DEPTH)?;
        match decoder.bytes {
            [] => value.ok_or_else(|| NoConversion("no value".into())),
            _ => none("more than one value"),
        }
    }
}

fn deeper(depth: usize) -> Result<usize, NoConversion> {
    match depth.checked_sub(1) {
        Some(depth) => Ok(depth),
        None => none(format_args!("nested more than {MAX_DEPTH} deep")),
    }
}

fn encode_int(value: i128, out: &mut Vec<u8>) {
    if let Ok(small) = i32::try_from(value) {
        out.push(b'i');
        out.extend(small.to_le_bytes());
        return;
    }
    let mut rest = value.unsigned_abs();
    let mut digits = Vec::new();
    while rest != 0 {
        digits.extend(((rest & 0x7fff) as u16).to_le_bytes());
        rest >>= DIGIT_BITS;
    }
    let count = (digits.len() / 2) as i32;
    out.push(b'l');
    out.extend((if value < 0 { -count } else { count }).to_le_bytes());
    out.extend(digits);
}

fn encode_count(code: u8, count: usize, out: &mut Vec<u8>) -> Result<(), NoConversion> {
    // marshal's counts are signed.
    let Ok(count) = i32::try_from(count) else {
        return none("longer than 2 GiB");
    };
    out.push(code);
    out.extend(count.to_le_bytes());
    Ok(())
}

fn encode_bytes(code: u8, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NoConversion> {
    encode_count(code, bytes.len(), out)?;
    out.extend(bytes);
    Ok(())
}

fn encode_items(code: u8, items: &[Value], out: &mut Vec<u8>, depth: usize) -> Result<(), NoConversion> {
    let depth = deeper(depth)?;
    encode_count(code, items.len(), out)?;
    items.iter().try_for_each(|item| item.encode_into(out, depth))
}

struct Decoder<'a> {
    bytes: &'a [u8],
    charge: &'a mut dyn FnMut(usize) -> bool,
}

impl<'a> Decoder<'a> {
    fn charge(&mut self, size: usize) -> Result<(), NoConversion> {
        match (self.charge)(size) {
            true => Ok(()),
            false => none("more than the limit of memory allows"),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], NoConversion> {
        match self.bytes.split_at_checked(count) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => none("cut short"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NoConversion> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn count(&mut self) -> Result<usize, NoConversion> {
        let count = i32::from_le_bytes(self.array()?);
        usize::try_from(count).or_else(|_| none("a negative length"))
    }

    fn copied(&mut self) -> Result<Vec<u8>, NoConversion> {
        let count = self.count()?;
        let bytes = self.take(count)?;
        self.charge(count)?;
        Ok(bytes.to_vec())
    }

    /// `None` is the end of a dict.
    fn value(&mut self, depth: usize) -> Result<Option<Value>, NoConversion> {
        self.charge(size_of::<Value>())?;
        Ok(Some(match self.array()? {
            [b'0'] => return Ok(None),
            [b'N'] => Value::None,
            [b'T'] => Value::Bool(true),
            [b'F'] => Value::Bool(false),
            [b'i'] => Value::Int(i32::from_le_bytes(self.array()?).into()),
            [b'l'] => Value::Int(self.long()?),
            [b'g'] => Value::Float(f64::from_le_bytes(self.array()?)),
            [b's'] => Value::Bytes(self.copied()?),
            [b'u'] => match String::from_utf8(self.copied()?) {
                Ok(text) => Value::Str(text),
                Err(_) => return none("a str with lone surrogates"),
            },
            [b'('] => Value::Tuple(self.items(deeper(depth)?)?),
            [b'['] => Value::List(self.items(deeper(depth)?)?),
            [b'{'] => Value::Dict(self.pairs(deeper(depth)?)?),
            [code] => return none(unsupported(code)),
        }))
    }

    fn long(&mut self) -> Result<i128, NoConversion> {
        let count = i32::from_le_bytes(self.array()?);
        let digits = self.take(2 * count.unsigned_abs() as usize)?;
        let mut value: i128 = 0;
        for digit in digits.chunks_exact(2).rev() {
            let digit = i128::from(u16::from_le_bytes([digit[0], digit[1]]));
            let digit = if count < 0 { -digit } else { digit };
            value = match value
                .checked_mul(1 << DIGIT_BITS)
                .and_then(|v| v.checked_add(digit))
            {
                Some(value) => value,
                None => return none("an int of more than 128 bits"),
            };
        }
        Ok(value)
    }

    fn item(&mut self, depth: usize) -> Result<Value, NoConversion> {
        self.value(depth)?
            .ok_or_else(|| NoConversion("an end without a dict".into()))
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Value>, NoConversion> {
        let count = self.count()?;
        // Its items are charged for one by one.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.item(depth)?);
        }
        Ok(items)
    }

    fn pairs(&mut self, depth: usize) -> Result<Vec<(Value, Value)>, NoConversion> {
        let mut pairs = Vec::new();
        while let Some(key) = self.value(depth)? {
            pairs.push((key, self.item(depth)?));
        }
        Ok(pairs)
    }
}

fn unsupported(code: u8) -> String {
    match code {
        b'<' => "a set has no conversion".into(),
        b'>' => "a frozenset has no conversion".into(),
        b'y' => "a complex number has no conversion".into(),
        b'.' => "Ellipsis has no conversion".into(),
        b'S' => "StopIteration has no conversion".into(),
        b'c' => "code has no conversion".into(),
        _ => format!("marshal's code {code:#04x} has no conversion"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Result<Value, NoConversion> {
        Value::decode(bytes, &mut |_| true)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::None),
            any::<bool>().prop_map(Value::Bool),
            any::<i128>().prop_map(Value::Int),
            any::<i32>().prop_map(|int| Value::Int(int.into())),
            // NaN is not equal to itself.
            (-1e300..1e300).prop_map(Value::Float),
            ".*".prop_map(Value::Str),
            any::<Vec<u8>>().prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            let items = prop::collection::vec(inner.clone(), 0..8);
            prop_oneof![
                items.clone().prop_map(Value::Tuple),
                items.prop_map(Value::List),
                prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_comes_back_as_it_went(value in any_value()) {
            prop_assert_eq!(decode(&value.encode().unwrap()), Ok(value));
        }

        #[test]
        fn rubbish_is_a_value_or_an_error(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_damaged_value_is_a_value_or_an_error(value in any_value(), at in any::<usize>(), byte: u8) {
            let mut bytes = value.encode().unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_length_without_its_bytes_takes_no_memory() {
        for code in b"su([" {
            let mut taken = 0;
            let bytes = [*code, 0xff, 0xff, 0xff, 0x7f, b'N'];
            let result = Value::decode(&bytes, &mut |size| {
                taken += size;
                true
            });
            assert_eq!(result, none("cut short"));
            assert!(taken < 1000, "{taken}");
        }
    }

    #[test]
    fn memory_is_charged_for_before_it_is_taken() {
        let mut room = 1000;
        let mut charge = |size: usize| {
            room -= size.min(room);
            room > 0
        };
        let bytes = Value::List(vec![Value::None; 1000]).encode().unwrap();
        let result = Value::decode(&bytes, &mut charge);
        assert_eq!(result, none("more than the limit of memory allows"));
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_refused_either_way() {
        let deep = |depth| (0..depth).fold(Value::None, |inner, _| Value::List(vec![inner]));
        assert!(deep(MAX_DEPTH).encode().is_ok_and(|bytes| decode(&bytes).is_ok()));
        assert!(deep(MAX_DEPTH + 1).encode().is_err());
        let mut bytes = b"[\x01\0\0\0".repeat(MAX_DEPTH + 1);
        bytes.push(b'N');
        assert!(decode(&bytes).is_err());
        // 1 << 128
        let mut bytes = b"l\x09\0\0\0".to_vec();
        bytes.extend([0; 16]);
        bytes.extend(256_u16.to_le_bytes());
        assert_eq!(decode(&bytes), none("an int of more than 128 bits"));
    }

    #[test]
    fn conversions_say_what_was_expected() {
        assert_eq!(u8::try_from(Value::Int(200)), Ok(200));
        let error = u8::try_from(Value::Int(300)).unwrap_err();
        assert_eq!(error.to_string(), "the int does not fit into u8");
        let error = String::try_from(Value::Int(300)).unwrap_err();
        assert_eq!(error.to_string(), "str expected, not int");
        assert_eq!(Value::from(Some("x")), Value::Str("x".into()));
        assert_eq!(Value::from(None::<bool>), Value::None);
    }
}
