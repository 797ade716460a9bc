//! The peers protocol: the same judgement at every length once it is made, written as it is read, values within bounds.

use wire::peers::{Cursor, Definition, Hello, Message, read_status};

/// Checks one input: a greeting, a status, messages.
pub fn check(data: &[u8]) {
    let _ = Hello::read(data);
    let _ = read_status(data);
    let mut at = 0;
    let mut definition: Option<Definition> = None;
    while let Ok(Some((message, length))) = Message::read(&data[at..]) {
        assert!(length >= 2 && at + length <= data.len());
        assert_eq!(Message::read(&data[at..at + length - 1]), Ok(None), "shorter by a byte");
        at += length;
        written_is_read(&message);
        match message {
            Message::Define(bytes) => definition = Definition::read(bytes).ok().inspect(defined_is_read),
            Message::Update(update) => {
                let mut cursor = Cursor(update.data);
                if let Some(definition) = &definition
                    && definition.key(&mut cursor).is_some()
                {
                    let _ = definition.values(&mut cursor, |bit, element, _| {
                        assert!(bit < 64 && element < 100);
                        Ok(())
                    });
                }
            }
            _ => {}
        }
    }
}

fn written_is_read(message: &Message<'_>) {
    if matches!(message, Message::Other) {
        return;
    }
    let mut out = Vec::new();
    message.write(&mut out);
    assert_eq!(Message::read(&out), Ok(Some((*message, out.len()))));
}

fn defined_is_read(definition: &Definition) {
    let mut out = Vec::new();
    definition.write(&mut out);
    if definition.parameters.iter().all(|(_, elements, period)| *elements > 0 || *period > 0) {
        let again = Definition::read(&out);
        let periods = definition.parameters.iter().all(|(bit, _, period)| *period > 0 || matches!(bit, 22 | 23));
        assert!(!periods || again.as_ref() == Ok(definition));
    }
}
