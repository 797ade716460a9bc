//! `use-server`, `force-persist`, `ignore-persist`: a condition chooses the server, or how much persistence counts.

use super::acl;
use super::format;
use super::said::{Cursor, Done, Said};
use super::scene::{Phase, Scene};
use plan::Mode;
use plan::pool::{PersistenceEffect, PersistenceRule, ServerRule, ServerTarget};

/// `use-server NAME if|unless CONDITION`; the name may hold `%[…]`.
pub(super) fn use_server(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.need("the name of a server")?;
    let phase = if scene.proxy.mode == Mode::Http { Phase::Request } else { Phase::Content };
    let target = match word.text.contains('%') {
        false => ServerTarget::Named(word.text.clone()),
        true => {
            let template = format::text(scene, &word.bytes, phase).map_err(|said| said.at(1))?;
            let fixed = template.as_fixed().map(|name| String::from_utf8_lossy(name).into_owned());
            fixed.map_or(ServerTarget::Computed(template), ServerTarget::Named)
        }
    };
    if !cursor.is_condition() {
        return Err(Said::new("'use-server' needs a condition")
            .hint("add 'if …' or 'unless …'")
            .at(cursor.at));
    }
    let condition = acl::condition(scene, cursor, phase)?;
    let place = cursor.line.place(1);
    scene.proxy.pool.server_rules.push(ServerRule { place, condition, target });
    Ok(())
}

/// `force-persist if|unless CONDITION`.
pub(super) fn force_persist(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    persistence(scene, cursor, PersistenceEffect::Force)
}

/// `ignore-persist if|unless CONDITION`.
pub(super) fn ignore_persist(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    persistence(scene, cursor, PersistenceEffect::Ignore)
}

fn persistence(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, effect: PersistenceEffect) -> Done {
    if !cursor.is_condition() {
        let word = cursor.line.text(0);
        return Err(Said::new(format!("'{word}' needs a condition")).hint("add 'if …' or 'unless …'"));
    }
    let phase = if scene.proxy.mode == Mode::Http { Phase::Request } else { Phase::Content };
    let condition = acl::condition(scene, cursor, phase)?;
    let place = cursor.line.place(0);
    scene.proxy.pool.persistence_rules.push(PersistenceRule { place, condition, effect });
    Ok(())
}
