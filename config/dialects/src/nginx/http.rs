//! `http {}`: servers, locations, upstreams.

use super::scope::Scope;
use plan::Draft;

/// Reads the block whose scope this is.
pub(super) fn read(_scope: &Scope<'_>, _draft: &mut Draft) {}
