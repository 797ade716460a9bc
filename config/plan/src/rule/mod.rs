//! The one rule engine: where a value comes from ([`Fetch`], [`Expr`]), what must hold ([`Condition`]),
//! what text is built ([`Template`]) and what is done ([`Action`]), by phase ([`Rules`]).
//!
//! How the dialects map to it:
//!
//! | said | meant |
//! |---|---|
//! | HAProxy `acl x path_beg /a` | `Condition::Test { Expr(Path), TextMatch::Prefix }` |
//! | HAProxy `%[req.hdr(host),lower]`, `%ci` | `Template` piece with `Expr` |
//! | HAProxy `http-request set-header` | `Rule { Action::SetHeader }` in `Rules::request` |
//! | nginx `$host`, `$http_x` | `Expr(Fetch::…)` in a `Template` |
//! | nginx `map $a $b {…}` | `Fetch::Map`: a template looked up in a table |
//! | nginx `location`, `if` | `Condition` on a `Route` or around rules |
//! | nginx `rewrite RE TO` | `Action::ReplacePath` |
//! | nginx `return 301 URL` | `Action::Redirect`; `return 200 "x"` is `Action::Answer` |
//!
//! Evaluation is pure: values come from a [`Facts`] that the traffic crates implement.

mod action;
mod condition;
mod convert;
mod course;
mod fetch;
mod list;
mod live;
mod normalize;
mod template;
mod value;
mod visit;

pub use action::{
    Action, HeaderMatch, ListAct, ListChange, Password, Redirect, RedirectKind, RegexTemplate, Rule, Rules,
    Scope, TextPattern, Userlist,
};
pub use condition::{Condition, IntRange, Matcher, Test, TextMatch, TextPatterns, accepts_text};
pub use convert::{
    Argument, Converter, Function, Parameter, Replacement, expand, function_named, function_names, host_only,
};
pub use course::{Course, NewValue, Normalizer, SetVariable, TimeoutKind, VariableCondition, WaitForBody};
pub use fetch::{Expr, Facts, Fetch, HeaderFetch, MapTable, Occurrence, ParameterFetch, RecordField};
pub use list::{
    Compare, Entries, Entry, Found, Index, List, ListError, Lists, MAX_ENTRIES, UseView, Wanted, Which,
};
pub use live::{EarlyFetch, Fact, PoolFact, ServerFact};
pub use normalize::normalize;
pub use template::{Piece, Style, Template, write_int};
pub use value::{Value, leading_number};
pub use visit::{UpstreamFact, VisitFact};
