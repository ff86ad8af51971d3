//! Rules about the documents: what they point to exists.

use std::collections::BTreeSet;

use crate::tree::{assert_none, root, texts};

/// The targets of Markdown's inline links.
fn links(text: &str) -> Vec<&str> {
    let after = text.split("](").skip(1);
    after
        .filter_map(|rest| Some(rest[..rest.find(')')?].split_whitespace().next().unwrap_or_default()))
        .collect()
}

/// The text without fenced blocks: what stands there is an example, not a link.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// GitHub's name for a heading.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let documents = texts(".md");
    let mut found = Vec::new();
    for (path, text) in &documents {
        let folder = root().join(path).parent().unwrap().to_owned();
        let text = prose(text);
        for link in
            links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (file, anchor) =
                link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { root().join(path) } else { folder.join(file) };
            if !target.exists() {
                found.push(format!("{path}: {link} does not exist"));
            } else if let Some(anchor) = anchor {
                let text = std::fs::read_to_string(&target).unwrap_or_default();
                if !anchors(&prose(&text)).iter().any(|known| known == anchor) {
                    found.push(format!("{path}: {link}: no such heading"));
                }
            }
        }
    }
    assert_none("mend the links", found);
}

#[test]
fn decision_records_have_a_number_of_their_own_and_are_listed() {
    let mut records: Vec<_> = texts(".md")
        .into_iter()
        .filter_map(|(path, _)| path.strip_prefix("docs/decisions/").map(str::to_owned))
        .filter(|name| name != "README.md")
        .collect();
    records.sort();
    let number = |name: &str| name.split_once('-').and_then(|(number, _)| number.parse::<u16>().ok());
    let index = std::fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
    let mut found: Vec<_> = records
        .iter()
        .filter_map(|name| match number(name) {
            None => Some(format!("{name}: does not begin with its number")),
            Some(_) if !index.contains(&format!("]({name})")) => {
                Some(format!("{name}: not listed in docs/decisions/README.md"))
            }
            Some(_) => None,
        })
        .collect();
    let twins = records.windows(2).filter(|pair| number(&pair[0]) == number(&pair[1]));
    found.extend(twins.map(|pair| format!("{} has the number of {}", pair[1], pair[0])));
    assert_none("number and list the records", found);
}

#[test]
fn the_tests_that_the_page_of_faults_names_exist() {
    let page = std::fs::read_to_string(root().join("docs/explanation/faults.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let named: BTreeSet<&str> = rows
        .filter_map(|row| row.rsplit('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 40, "the names are found at all");
    let sources: String = texts(".rs").into_iter().map(|(_, text)| text).collect();
    let found = named.into_iter().filter(|name| !sources.contains(&format!("fn {name}("))).map(str::to_owned);
    assert_none("docs/explanation/faults.md names tests that are there", found.collect());
}

/// The codes (`MS` and four digits) that stand in the text right behind `mark`.
fn codes(text: &str, mark: char) -> BTreeSet<String> {
    let opening = format!("{mark}MS");
    let found = text.match_indices(&opening).filter_map(|(at, _)| text.get(at + 1..at + 8));
    let found =
        found.filter(|code| code.ends_with(mark) && code[2..6].bytes().all(|byte| byte.is_ascii_digit()));
    found.map(|code| code[..6].to_owned()).collect()
}

/// The names of events in a source: what stands first in a call of `tracing`, and what a message of the program is told as.
fn events(text: &str) -> BTreeSet<String> {
    let quoted = |rest: &str| rest.split('"').next().map(str::to_owned);
    let logged = text.match_indices("event = \"").filter_map(|(at, mark)| quoted(&text[at + mark.len()..]));
    let told = [".tell(", ".warn_of("].into_iter().flat_map(|call| text.match_indices(call)).filter_map(
        |(at, mark)| {
            let rest = text[at + mark.len()..].trim_start();
            quoted(rest.strip_prefix('"')?)
        },
    );
    logged.chain(told).collect()
}

#[test]
fn every_event_of_the_log_has_a_name_and_is_documented() {
    let sources: Vec<_> = texts(".rs").into_iter().filter(|(path, _)| path.contains("/src/")).collect();
    let calls = ["error", "warn", "info", "debug"].map(|level| format!("tracing::{level}!("));
    let mut nameless = Vec::new();
    for (path, text) in &sources {
        for (at, call) in calls.iter().flat_map(|call| text.match_indices(call.as_str())) {
            let rest = text[at + call.len()..].trim_start();
            // The program's own messages bring their names with them.
            let told = rest.starts_with("event,") && path.ends_with("cli/src/output/mod.rs");
            if !told && !rest.starts_with("event = \"") {
                nameless.push(format!("{path}: {}", rest.lines().next().unwrap_or_default()));
            }
        }
    }
    assert_none("what is logged begins with `event = \"…\"`", nameless);
    let used: BTreeSet<String> = sources.iter().flat_map(|(_, text)| events(text)).collect();
    assert!(used.len() > 40, "the names are found at all: {used:?}");
    let page = std::fs::read_to_string(root().join("docs/reference/logs.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
    let found = used.symmetric_difference(&documented).cloned().collect();
    assert_none("docs/reference/logs.md lists the events of the sources", found);
}

/// The names of spans in a source: the first text of the call.
fn spans(text: &str) -> impl Iterator<Item = String> + '_ {
    let calls = text.split("_span!(").skip(1);
    calls.filter_map(|call| call.split('"').nth(1).map(str::to_owned))
}

#[test]
fn every_span_is_documented_and_no_other() {
    let sources = texts(".rs").into_iter().filter(|(path, _)| path.contains("/src/"));
    let used: BTreeSet<String> = sources.flat_map(|(_, text)| spans(&text).collect::<Vec<_>>()).collect();
    assert!(used.len() > 5, "the names are found at all: {used:?}");
    let page = std::fs::read_to_string(root().join("docs/reference/traces.md")).unwrap();
    let rows = page.lines().filter(|line| {
        line.starts_with("| `") && !line.starts_with("| `OTEL") && !line.starts_with("| `SSL")
    });
    let first = rows.filter_map(|row| row.split('|').nth(1));
    let documented: BTreeSet<String> =
        first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    let found = used.symmetric_difference(&documented).cloned().collect();
    assert_none("docs/reference/traces.md lists the spans of the sources", found);
}

#[test]
fn every_error_code_is_documented_and_no_other() {
    let sources = texts(".rs").into_iter().filter(|(path, _)| path.contains("/src/"));
    let used: BTreeSet<String> = sources.flat_map(|(_, text)| codes(&text, '"')).collect();
    let page = std::fs::read_to_string(root().join("docs/reference/errors.md")).unwrap();
    let documented = codes(&page, '`');
    assert!(used.len() > 50, "the codes are found at all");
    let found = used.symmetric_difference(&documented).cloned().collect();
    assert_none("docs/reference/errors.md lists the codes of the sources", found);
}
