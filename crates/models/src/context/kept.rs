//! What templates keep in `graph` beside the project's nodes. To dbt `graph` is one dict of the whole run: packages that watch a project put what their tests have found there, and read it in
//! hooks at the end. Here each node's templates have a copy, for several are rendered at a time: what one of them has added or changed is brought together with what others have.

use serde_json::{Map, Value as Json};

/// The keys that are the project's: what is done to them stays with the node.
const OF_PROJECT: &[&str] = &["nodes", "sources", "exposures", "groups", "metrics"];

/// Whether what is kept under a key of `graph` is for others, too.
pub fn is_shared(key: &str) -> bool {
    !OF_PROJECT.contains(&key)
}

/// Brings what one has made of `before` into what others have made of it since.
pub fn bring(before: &Map<String, Json>, own: &Map<String, Json>, into: &mut Map<String, Json>) {
    for (key, value) in own {
        match (before.get(key), into.get_mut(key)) {
            (Some(same), _) if same == value => {}
            (known, Some(there)) => bring_value(known.unwrap_or(&Json::Null), value, there),
            (_, None) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !own.contains_key(*key)) {
        into.shift_remove(key);
    }
}

fn bring_value(before: &Json, own: &Json, into: &mut Json) {
    match (before, own, into) {
        (Json::Object(before), Json::Object(own), Json::Object(into)) => bring(before, own, into),
        (Json::Null, Json::Object(own), Json::Object(into)) => bring(&Map::new(), own, into),
        // What was appended is appended.
        (Json::Array(before), Json::Array(own), Json::Array(into)) if own.starts_with(before) => {
            into.extend_from_slice(&own[before.len()..]);
        }
        (Json::Null, Json::Array(own), Json::Array(into)) => into.extend_from_slice(own),
        (_, own, into) => own.clone_into(into),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_two_have_changed_is_there_and_what_one_has_removed_is_not() {
        let map = |json: Json| json.as_object().cloned().unwrap();
        let before = map(json!({"a": {"x": 1, "y": 2}, "list": [1], "gone": 1, "same": 1}));
        let own = map(json!({"a": {"x": 1, "y": 2, "z": 3}, "list": [1, 2], "same": 1, "new": {"p": 1}}));
        let mut into =
            map(json!({"a": {"x": 5, "y": 2}, "list": [1, 9], "gone": 1, "same": 7, "new": {"q": 2}}));
        bring(&before, &own, &mut into);
        let wanted =
            json!({"a": {"x": 5, "y": 2, "z": 3}, "list": [1, 9, 2], "same": 7, "new": {"q": 2, "p": 1}});
        assert_eq!(Json::Object(into), wanted);
    }
}
