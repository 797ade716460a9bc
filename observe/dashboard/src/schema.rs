//! `show schema json`: the form of the JSON answers, as a JSON schema (draft 4).

use std::fmt::Write as _;

const ORIGINS: &str = r#""Metric","Status","Key","Config","Product","Unknown""#;
const NATURES: &str =
    r#""Age","Avg","Counter","Duration","Gauge","Limit","Max","Min","Name","Output","Rate","Time","Unknown""#;
const SCOPES: &str = r#""Cluster","Process","Service","System","Unknown""#;
const KINDS: &str = r#""Frontend","Backend","Listener","Server","Unknown""#;

/// Types of values: name, JSON type.
const TYPES: [(&str, &str); 5] =
    [("s32", "integer"), ("s64", "integer"), ("u32", "integer"), ("u64", "integer"), ("str", "string")];

/// The schema, on one line.
pub fn schema() -> String {
    let common = r##""field":{"$ref":"#/definitions/field"},"processNum":{"$ref":"#/definitions/processNum"},"tags":{"$ref":"#/definitions/tags"},"value":{"$ref":"#/definitions/typedValue"}"##;
    let required = r#""field","processNum","tags","value""#;
    let info = item("InfoItem", common, required);
    let number = r#"{"type":"integer","minimum":0}"#;
    let stat = item(
        "StatItem",
        &format!(r#""objType":{{"enum":[{KINDS}]}},"proxyId":{number},"id":{number},{common}"#),
        &format!(r#""objType","proxyId","id",{required}"#),
    );
    let words = |list: &str| format!(r#"{{"type":"string","enum":[{list}]}}"#);
    let tags = object(
        &format!(r#""origin":{},"nature":{},"scope":{}"#, words(ORIGINS), words(NATURES), words(SCOPES)),
        r#""origin","nature","scope""#,
    );
    let field = object(&format!(r#""pos":{number},"name":{{"type":"string"}}"#), r#""pos","name""#);
    let mut values = String::new();
    for (at, (name, kind)) in TYPES.iter().enumerate() {
        let value = object(
            &format!(r#""type":{{"enum":["{name}"]}},"value":{{"type":"{kind}"}}"#),
            r#""type","value""#,
        );
        let _ = write!(values, "{}{value}", if at > 0 { "," } else { "" });
    }
    format!(
        "{{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"oneOf\":[\
         {{\"title\":\"Info\",\"type\":\"array\",\"items\":{info}}},\
         {{\"title\":\"Stat\",\"type\":\"array\",\"items\":{{\"type\":\"array\",\"items\":{stat}}}}}],\
         \"definitions\":{{\"field\":{field},\"processNum\":{{\"type\":\"integer\",\"minimum\":1}},\"tags\":{tags},\
         \"typedValue\":{{\"oneOf\":[{values}]}}}}}}\n"
    )
}

fn item(title: &str, properties: &str, required: &str) -> String {
    format!(r#"{{"title":"{title}","type":"object","properties":{{{properties}}},"required":[{required}]}}"#)
}

fn object(properties: &str, required: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}},"required":[{required}]}}"#)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_json_and_names_what_answers_hold() {
        let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
        assert_eq!(schema["oneOf"][0]["title"], "Info");
        let item = &schema["oneOf"][1]["items"]["items"];
        assert_eq!(item["required"].as_array().unwrap().len(), 7);
        let rows = crate::rows::rows(&crate::sample::snapshot(), &crate::Selection::default());
        let answer: serde_json::Value = serde_json::from_str(&crate::rows::json(&rows)).unwrap();
        for value in answer.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap()) {
            let names: Vec<_> = value.as_object().unwrap().keys().collect();
            assert!(names.iter().all(|name| !item["properties"][name.as_str()].is_null()), "{names:?}");
            let natures = schema["definitions"]["tags"]["properties"]["nature"]["enum"].as_array().unwrap();
            assert!(natures.contains(&value["tags"]["nature"]), "{value}");
        }
    }
}
