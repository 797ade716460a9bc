//! Arithmetic and logic on numbers. Results outside the range stop at its ends.

use super::Parameter::Int;
use super::{Call, Function, function};
use crate::rule::Value;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("add", &[Int], |c, v| int(v.to_int()?.saturating_add(c.int(0)?))),
    function("and_bits", &[Int], |c, v| int(v.to_int()? & c.int(0)?)),
    function("bool", &[], |_, v| yes(v.to_int()? != 0)),
    function("complement", &[], |_, v| int(!v.to_int()?)),
    function("divide", &[Int], |c, v| int(divided(v.to_int()?, c.int(0)?))),
    function("even", &[], |_, v| yes(v.to_int()? & 1 == 0)),
    function("modulo", &[Int], modulo),
    function("multiply", &[Int], |c, v| int(v.to_int()?.saturating_mul(c.int(0)?))),
    function("negate", &[], |_, v| int(v.to_int()?.saturating_neg())),
    function("network_order", &[], |_, v| Some(Value::owned((v.to_int()? as u32).to_be_bytes()))),
    function("not", &[], |_, v| yes(v.to_int()? == 0)),
    function("number", &[], |_, v| int(v.to_int()?)),
    function("odd", &[], |_, v| yes(v.to_int()? & 1 == 1)),
    function("or_bits", &[Int], |c, v| int(v.to_int()? | c.int(0)?)),
    function("subtract", &[Int], |c, v| int(v.to_int()?.saturating_sub(c.int(0)?))),
    function("xor_bits", &[Int], |c, v| int(v.to_int()? ^ c.int(0)?)),
];

fn int(n: i64) -> Option<Value<'static>> {
    Some(Value::Int(n))
}

fn yes(yes: bool) -> Option<Value<'static>> {
    Some(Value::Bool(yes))
}

/// A quotient; that of a division by 0 is the largest number.
fn divided(n: i64, by: i64) -> i64 {
    if by == 0 { i64::MAX } else { n.saturating_div(by) }
}

/// Remainder of a division, 0 of one by 0.
fn modulo<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    int(value.to_int()?.checked_rem(call.int(0)?).unwrap_or(0))
}
