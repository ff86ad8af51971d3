//! `modules.re`: regular expressions as Python reads them, found by fancy-regex, which has look-around and back-references.

use std::{any::Any, rc::Rc};

use fancy_regex::{Captures, Regex, RegexBuilder};

use super::modules::unsupported;
use crate::jinja::{fail, Args, Eval, Interpreter, Object, Value};

/// The flags of `re`, by their names.
pub(super) fn flag(name: &str) -> Option<Value> {
    Some(Value::Int(match name {
        "IGNORECASE" | "I" => IGNORECASE,
        "MULTILINE" | "M" => MULTILINE,
        "DOTALL" | "S" => DOTALL,
        "UNICODE" | "U" => 32,
        "VERBOSE" | "X" => VERBOSE,
        _ => return None,
    }))
}

const IGNORECASE: i64 = 2;
const MULTILINE: i64 = 8;
const DOTALL: i64 = 16;
const VERBOSE: i64 = 64;

/// How often an expression may try another way before it is given up: one that takes longer has no end that anybody waits for.
const BACKTRACKS_MAX: usize = 10_000_000;

/// A function of `re`, or a method of a compiled expression, which is the first argument there.
pub(super) fn call(interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
    let parameters = match name {
        "sub" | "subn" => ["pattern", "repl", "string", "count", "flags"],
        "split" => ["pattern", "string", "maxsplit", "flags", "-"],
        "escape" => ["pattern", "-", "-", "-", "-"],
        "compile" => ["pattern", "flags", "-", "-", "-"],
        "match" | "search" | "fullmatch" | "findall" | "finditer" => ["pattern", "string", "flags", "-", "-"],
        _ => return Err(unsupported(format!("modules.re.{name}"))),
    };
    let given = args.bind(name, parameters)?;
    let of = |name: &str| {
        let at = parameters.iter().position(|known| *known == name)?;
        given[at].clone()
    };
    let number = |name: &str| of(name).and_then(|value| value.as_int()).unwrap_or(0);
    let said = of("pattern").unwrap_or(Value::None);
    if name == "escape" {
        return Ok(Value::from(escape(&said.to_string())));
    }
    let (pattern, flags) = match said.downcast::<Pattern>() {
        Some(compiled) => (compiled.text.to_string(), compiled.flags),
        None => (said.to_string(), number("flags")),
    };
    if name == "compile" {
        expression(&pattern, flags, "search", "")?;
        return Ok(Value::object(Pattern { text: pattern.into(), flags }));
    }
    let text: Rc<str> = of("string").unwrap_or(Value::None).to_string().into();
    let expression = expression(&pattern, flags, name, &text)?;
    let names: Rc<[(String, usize)]> = expression
        .capture_names()
        .enumerate()
        .filter_map(|(at, name)| Some((name?.to_owned(), at)))
        .collect();
    let found = |captures: &Captures<'_, str>| Match {
        text: text.clone(),
        groups: (0..captures.len())
            .map(|at| captures.get(at).map(|group| [group.start(), group.end()]))
            .collect(),
        names: names.clone(),
    };
    let all = |most: i64| all(&expression, &pattern, &text, most);
    Ok(match name {
        "match" | "search" | "fullmatch" => match captures(&expression, &pattern, &text, 0)? {
            None => Value::None,
            Some(captures) => Value::object(found(&captures)),
        },
        "finditer" => Value::list(all(0)?.iter().map(|captures| Value::object(found(captures)))),
        "findall" => Value::list(all(0)?.iter().map(|captures| {
            let groups: Vec<Value> = (0..captures.len())
                .map(|at| Value::from(captures.get(at).map_or("", |group| group.as_str())))
                .collect();
            match groups.len() {
                1 => groups[0].clone(),
                2 => groups[1].clone(),
                _ => Value::tuple(groups[1..].iter().cloned()),
            }
        })),
        "split" => {
            let (mut parts, mut end) = (Vec::new(), 0);
            for captures in all(number("maxsplit"))? {
                let Some(whole) = captures.get(0) else { continue };
                parts.push(Value::from(&text[end..whole.start()]));
                // What groups have matched is a part, too.
                let group = |at| captures.get(at).map_or(Value::None, |group| Value::from(group.as_str()));
                parts.extend((1..captures.len()).map(group));
                end = whole.end();
            }
            parts.push(Value::from(&text[end..]));
            Value::list(parts)
        }
        _ => {
            let new = of("repl").unwrap_or(Value::None);
            let (mut out, mut end, mut count) = (String::new(), 0, 0);
            for captures in all(number("count"))? {
                let Some(whole) = captures.get(0) else { continue };
                out.push_str(&text[end..whole.start()]);
                match new.is_callable() {
                    true => {
                        let made = new.call(interpreter, Args::of([Value::object(found(&captures))]))?;
                        out.push_str(&made.to_string());
                    }
                    false => expand(&new.to_string(), &captures, &mut out)?,
                }
                end = whole.end();
                count += 1;
            }
            out.push_str(&text[end..]);
            match name {
                "subn" => Value::tuple([Value::from(out), Value::Int(count)]),
                _ => Value::from(out),
            }
        }
    })
}

fn expression(pattern: &str, flags: i64, how: &str, text: &str) -> Eval<Regex> {
    let translated = Translation::of(pattern, flags, text.ends_with('\n'));
    let (body, flags) = (translated.out, translated.flags);
    let whole = match how {
        "match" => format!(r"\A(?:{body})"),
        "fullmatch" => format!(r"\A(?:{body})\z"),
        _ => body,
    };
    let built = RegexBuilder::new(&whole)
        .case_insensitive(flags & IGNORECASE != 0)
        .multi_line(flags & MULTILINE != 0)
        .dot_matches_new_line(flags & DOTALL != 0)
        .backtrack_limit(BACKTRACKS_MAX)
        .build();
    match built {
        Ok(expression) => Ok(expression),
        Err(error) => fail(format!("the regular expression `{pattern}` is not understood: {error}")),
    }
}

fn captures<'t>(
    expression: &Regex,
    pattern: &str,
    text: &'t str,
    from: usize,
) -> Eval<Option<Captures<'t, str>>> {
    match expression.captures_from_pos(text, from) {
        Ok(found) => Ok(found),
        Err(error) => fail(format!("the regular expression `{pattern}` is given up: {error}")),
    }
}

/// All matches that don't overlap, up to a number where it is not 0. An empty one may stand right behind another, as with Python.
fn all<'t>(expression: &Regex, pattern: &str, text: &'t str, most: i64) -> Eval<Vec<Captures<'t, str>>> {
    let (mut found, mut from) = (Vec::new(), 0);
    let most = usize::try_from(most).ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
    while found.len() < most {
        let Some(next) = captures(expression, pattern, text, from)? else { break };
        let Some((start, end)) = next.get(0).map(|whole| (whole.start(), whole.end())) else { break };
        found.push(next);
        from = match start == end {
            false => end,
            true => match text[end..].chars().next() {
                Some(c) => end + c.len_utf8(),
                None => break,
            },
        };
    }
    Ok(found)
}

/// `re.escape`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Writes what stands in the place of a match: `\1` and `\g<name>` are groups.
fn expand(new: &str, captures: &Captures<'_, str>, out: &mut String) -> Eval<()> {
    let mut chars = new.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let group = match chars.next() {
            Some('g') => {
                let name: String =
                    chars.by_ref().skip_while(|c| *c == '<').take_while(|c| *c != '>').collect();
                match name.parse::<usize>() {
                    Ok(at) => captures.get(at),
                    Err(_) => captures.name(&name),
                }
            }
            Some(digit @ '1'..='9') => {
                let more = chars.next_if(char::is_ascii_digit);
                let at: String = std::iter::once(digit).chain(more).collect();
                match at.parse::<usize>() {
                    Ok(at) if at < captures.len() => captures.get(at),
                    _ => return fail(format!("`{new}` names a group that the expression has not")),
                }
            }
            Some('n') => {
                out.push('\n');
                None
            }
            Some('t') => {
                out.push('\t');
                None
            }
            Some('r') => {
                out.push('\r');
                None
            }
            Some('\\') => {
                out.push('\\');
                None
            }
            Some(other) if other.is_ascii_alphabetic() => return fail(format!("bad escape \\{other}")),
            other => {
                out.push('\\');
                out.extend(other);
                None
            }
        };
        out.push_str(group.map_or("", |group| group.as_str()));
    }
    Ok(())
}

/// A pattern of Python's in fancy-regex's syntax, where they differ: braces that repeat nothing, brackets within a class, what escapes mean, `$` before a last line's end, and expressions
/// that are written with blanks and comments.
struct Translation {
    out: String,
    flags: i64,
}

impl Translation {
    /// `ends_line`: the text has a line's end at its end.
    fn of(pattern: &str, flags: i64, ends_line: bool) -> Self {
        let (pattern, flags) = Translation::own_flags(pattern, flags);
        let mut translation = Translation { out: String::new(), flags };
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            at = match chars[at] {
                '\\' => translation.escaped(&chars, at, false),
                '[' => translation.class(&chars, at),
                '{' => translation.braces(&chars, at),
                '}' => translation.push(r"\}", at + 1),
                '$' if flags & MULTILINE == 0 => {
                    translation.push(if ends_line { r"(?=\n?\z)" } else { r"\z" }, at + 1)
                }
                '#' if flags & VERBOSE != 0 => {
                    at + chars[at..].iter().position(|c| *c == '\n').unwrap_or(chars.len() - at)
                }
                c if flags & VERBOSE != 0 && c.is_ascii_whitespace() => at + 1,
                c => {
                    translation.out.push(c);
                    at + 1
                }
            };
        }
        translation
    }

    fn push(&mut self, text: &str, next: usize) -> usize {
        self.out.push_str(text);
        next
    }

    /// Flags for all of the pattern stand at its beginning: `(?ix)`.
    fn own_flags(pattern: &str, flags: i64) -> (&str, i64) {
        let Some((said, rest)) = pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')')) else {
            return (pattern, flags);
        };
        let mut all = flags;
        for c in said.chars() {
            all |= match c {
                'i' => IGNORECASE,
                'm' => MULTILINE,
                's' => DOTALL,
                'x' => VERBOSE,
                'a' | 'u' | 'L' => 0,
                _ => return (pattern, flags),
            };
        }
        match said.is_empty() {
            true => (pattern, flags),
            false => (rest, all),
        }
    }

    fn escaped(&mut self, chars: &[char], at: usize, in_class: bool) -> usize {
        match chars.get(at + 1) {
            None => self.push(r"\\", at + 1),
            Some('Z') if !in_class => self.push(r"\z", at + 2),
            Some('b') if in_class => self.push(r"\x08", at + 2),
            Some(c) if c.is_alphanumeric() => {
                self.out.extend(['\\', *c]);
                at + 2
            }
            // What means something of its own behind a stroke there.
            Some(c @ ('<' | '>' | '\'' | '"' | '_')) => {
                self.out.push(*c);
                at + 2
            }
            Some(c) if c.is_ascii_punctuation() || c.is_ascii_whitespace() => {
                if c.is_ascii_punctuation() {
                    self.out.push('\\');
                }
                self.out.push(*c);
                at + 2
            }
            Some(c) => {
                self.out.push(*c);
                at + 2
            }
        }
    }

    fn class(&mut self, chars: &[char], from: usize) -> usize {
        self.out.push('[');
        let mut at = from + 1;
        if chars.get(at) == Some(&'^') {
            self.out.push('^');
            at += 1;
        }
        let first = at;
        while let Some(c) = chars.get(at) {
            at = match c {
                ']' if at > first => return self.push("]", at + 1),
                '\\' => self.escaped(chars, at, true),
                // Brackets and doubled signs are no classes and no operators here.
                '[' | ']' | '&' | '~' => {
                    self.out.extend(['\\', *c]);
                    at + 1
                }
                '-' if chars.get(at + 1) == Some(&'-') => self.push(r"\-", at + 1),
                c => {
                    self.out.push(*c);
                    at + 1
                }
            };
        }
        at
    }

    fn braces(&mut self, chars: &[char], at: usize) -> usize {
        let end = chars[at..].iter().position(|c| *c == '}').map(|length| at + length);
        let said: Option<String> = end.map(|end| chars[at + 1..end].iter().collect());
        let is_count = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        match (said.as_deref().map(|said| (said, said.split_once(','))), end) {
            (Some((said, None)), Some(end)) if !said.is_empty() && is_count(said) => {
                self.push(&format!("{{{said}}}"), end + 1)
            }
            (Some((_, Some((least, most)))), Some(end)) if is_count(least) && is_count(most) => {
                let least = if least.is_empty() { "0" } else { least };
                self.push(&format!("{{{least},{most}}}"), end + 1)
            }
            _ => self.push(r"\{", at + 1),
        }
    }
}

/// A compiled expression.
struct Pattern {
    text: Rc<str>,
    flags: i64,
}

impl Object for Pattern {
    fn type_name(&self) -> &'static str {
        "Pattern"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        match name {
            "pattern" => Some(Value::from(&*self.text)),
            "flags" => Some(Value::Int(self.flags | 32)),
            _ => None,
        }
    }

    fn call_method(&self, interpreter: &Interpreter, name: &str, mut args: Args) -> Eval<Value> {
        let own = Pattern { text: self.text.clone(), flags: self.flags };
        args.positional.insert(0, Value::object(own));
        call(interpreter, name, args)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A match of a regular expression.
struct Match {
    text: Rc<str>,
    /// Where the whole and each group begins and ends, in bytes.
    groups: Vec<Option<[usize; 2]>>,
    names: Rc<[(String, usize)]>,
}

impl Match {
    /// A group by its number or its name; `Err`: there is none.
    fn group(&self, which: &Value) -> Eval<Option<[usize; 2]>> {
        let at = match which {
            Value::Str(name) => self.names.iter().find(|(known, _)| **known == **name).map(|(_, at)| *at),
            number => number.as_int().and_then(|number| usize::try_from(number).ok()),
        };
        match at.and_then(|at| self.groups.get(at)) {
            Some(group) => Ok(*group),
            None => fail("no such group"),
        }
    }

    fn text(&self, group: Option<[usize; 2]>) -> Value {
        group.map_or(Value::None, |[start, end]| Value::from(&self.text[start..end]))
    }

    /// A place in the text as Python counts, in characters; -1: the group has matched nothing.
    fn place(&self, at: Option<usize>) -> Value {
        let count = at.map_or(-1, |at| i64::try_from(self.text[..at].chars().count()).unwrap_or(i64::MAX));
        Value::Int(count)
    }
}

impl Object for Match {
    fn type_name(&self) -> &'static str {
        "Match"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        match name {
            "string" => Some(Value::from(&*self.text)),
            _ => {
                let key = name.parse().map_or_else(|_| Value::from(name), Value::Int);
                self.group(&key).ok().map(|group| self.text(group))
            }
        }
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match name {
            "group" => match &args.positional[..] {
                [] => Ok(self.text(self.groups[0])),
                [which] => Ok(self.text(self.group(which)?)),
                several => {
                    let texts: Eval<Vec<Value>> =
                        several.iter().map(|which| Ok(self.text(self.group(which)?))).collect();
                    Ok(Value::tuple(texts?))
                }
            },
            "groups" | "groupdict" => {
                let [default] = args.bind(name, ["default"])?;
                let text = |group: &Option<[usize; 2]>| match group {
                    Some(_) => self.text(*group),
                    None => default.clone().unwrap_or(Value::None),
                };
                Ok(match name {
                    "groups" => Value::tuple(self.groups[1..].iter().map(text)),
                    _ => Value::dict(
                        self.names.iter().map(|(name, at)| (name.as_str(), text(&self.groups[*at]))),
                    ),
                })
            }
            "start" | "end" | "span" => {
                let [which] = args.bind(name, ["group"])?;
                let group = self.group(&which.unwrap_or(Value::Int(0)))?;
                let (start, end) = (group.map(|[start, _]| start), group.map(|[_, end]| end));
                Ok(match name {
                    "start" => self.place(start),
                    "end" => self.place(end),
                    _ => Value::tuple([self.place(start), self.place(end)]),
                })
            }
            _ => Err(unsupported(format!("Match.{name}"))),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.groups.iter().map(|group| self.text(*group)).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
