//! Arithmetic and logic on numbers.

use super::Parameter::Int;
use super::{Argument, Call, Function, function};
use crate::rule::Value;

/// Functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    function("add", &[Int], |c, v| int(v.to_int()?.saturating_add(c.int(0)?))),
    function("bool", &[], |_, v| Some(Value::Bool(v.to_int()? != 0))),
    function("modulo", &[Int], modulo).checked(divisor),
    function("not", &[], |_, v| Some(Value::Bool(v.to_int()? == 0))),
    function("number", &[], |_, v| int(v.to_int()?)),
    function("subtract", &[Int], |c, v| int(v.to_int()?.saturating_sub(c.int(0)?))),
];

fn int(n: i64) -> Option<Value<'static>> {
    Some(Value::Int(n))
}

fn divisor(arguments: &[Argument]) -> Result<(), &'static str> {
    match arguments {
        [Argument::Int(0)] => Err("nothing can be divided by 0"),
        _ => Ok(()),
    }
}

/// Remainder of a division; of one by 0, the number itself's place is taken by 0.
fn modulo<'a>(call: &Call<'_>, value: Value<'a>) -> Option<Value<'a>> {
    int(value.to_int()?.checked_rem(call.int(0)?).unwrap_or(0))
}
