//! Templates rendered here and by Jinja2 itself, as dbt sets it up: the same text, or an error on both sides.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    rc::Rc,
    sync::Arc,
};

use millstream_models::jinja::{
    template, Args, Eval, Host, Interpreter, JinjaError, Macro, Object, Spot, Stmt, Value,
};

/// A template a line; `§` stands for a line end.
const TEMPLATES: &str = include_str!("jinja/templates.txt");

/// Renders the templates that it is given, one JSON array, with dbt's extensions and undefined names. What fails is null.
const ORACLE: &str = include_str!("jinja/oracle.py");

struct Names;

/// A macro of a project, which `return` ends.
struct ProjectMacro(Arc<Macro>);

impl Object for ProjectMacro {
    fn type_name(&self) -> &'static str {
        "macro"
    }

    fn call(&self, interpreter: &Interpreter, args: Args) -> Eval<Value> {
        interpreter.call_macro(&self.0, args)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Host for Names {
    fn global(&self, _: &Interpreter, _: &str) -> Option<Value> {
        None
    }
}

fn render(source: &str) -> Result<String, JinjaError> {
    let parsed = template(source, &"t.sql".into(), Spot { line: 1, column: 1 })?;
    Interpreter::new(Rc::new(Names)).render(&parsed, &[])
}

fn python() -> PathBuf {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.tools/clients/dbt/bin/python");
    assert!(python.exists(), "dbt is not there: run scripts/clients");
    python
}

#[test]
fn templates_render_as_jinja2_renders_them() {
    let sources: Vec<String> =
        TEMPLATES.lines().filter(|line| !line.is_empty()).map(|line| line.replace('§', "\n")).collect();
    assert!(sources.len() > 190, "the templates are read at all");
    let mut oracle = Command::new(python())
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    oracle.stdin.take().unwrap().write_all(serde_json::to_string(&sources).unwrap().as_bytes()).unwrap();
    let output = oracle.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected: Vec<Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(expected.len(), sources.len());
    assert!(expected.iter().filter(|text| text.is_none()).count() < sources.len() / 4, "most of them render");
    let mut wrong = Vec::new();
    for (source, expected) in sources.iter().zip(expected) {
        let rendered = render(source);
        if rendered.as_ref().ok() != expected.as_ref() {
            wrong.push(format!("{source:?}\n  jinja2: {expected:?}\n  ours:   {rendered:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn return_ends_a_macro_with_a_value_of_its_own_type() {
    struct Project(Arc<Macro>);
    struct Return;
    impl Object for Return {
        fn type_name(&self) -> &'static str {
            "function"
        }
        fn call(&self, _: &Interpreter, args: Args) -> Eval<Value> {
            let value = args.positional.into_iter().next().unwrap_or(Value::None);
            Err(millstream_models::jinja::Interrupt::Return(value))
        }
        fn is_callable(&self) -> bool {
            true
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }
    impl Host for Project {
        fn global(&self, _: &Interpreter, name: &str) -> Option<Value> {
            match name {
                "pick" => Some(Value::object(ProjectMacro(self.0.clone()))),
                "return" => Some(Value::object(Return)),
                _ => None,
            }
        }
    }
    let source = "{% macro pick(items) %}{% for item in items %}{% if item > 1 %}{% do return([item]) %}{% endif %}{% endfor %}none{% endmacro %}";
    let parsed = template(source, &"m.sql".into(), Spot { line: 1, column: 1 }).unwrap();
    let [Stmt::Macro(definition)] = &parsed.body[..] else { panic!("no macro") };
    let interpreter = Interpreter::new(Rc::new(Project(definition.clone())));
    let main = "{% set found = pick([1, 2, 3]) %}{% do found.append(9) %}{{ found }} {{ pick([]) }}";
    let main = template(main, &"t.sql".into(), Spot { line: 1, column: 1 }).unwrap();
    assert_eq!(interpreter.render(&main, &[]).unwrap(), "[2, 9] none");
    let outside = template("{{ return(1) }}", &"t.sql".into(), Spot { line: 1, column: 1 }).unwrap();
    assert!(interpreter.render(&outside, &[]).unwrap_err().message.contains("outside of any macro"));
}

#[test]
fn an_error_names_file_line_and_column_as_written() {
    for (source, line, column, words) in [
        ("a\n{% do [].push(1) %}", 2, 7, "no attribute 'push'"),
        ("{{ missing() }}", 1, 4, "'missing' is undefined"),
        ("x\n\n  {{ 1 + 'a' }}", 3, 6, "unsupported operand"),
        ("{% if x: %}{% endif %}\n{% for a in 5: %}{% endfor %}", 2, 13, "not iterable"),
        ("{{ 1 | nosuch }}", 1, 4, "no filter named `nosuch`"),
        ("{% set a = ] %}", 1, 12, "unexpected"),
    ] {
        let error = render(source).unwrap_err();
        let spot = error.spot.unwrap();
        assert_eq!((spot.line, spot.column), (line, column), "{source}: {}", error.message);
        assert!(error.message.contains(words), "{}", error.message);
        assert_eq!(error.file.as_deref(), Some("t.sql"));
    }
}

#[test]
fn macros_without_end_are_an_error_and_not_a_crash() {
    let source = "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}";
    let error = std::thread::Builder::new()
        .stack_size(16 << 20)
        .spawn(move || render(source).unwrap_err())
        .unwrap()
        .join()
        .unwrap();
    assert!(error.message.contains("deep"), "{}", error.message);
}
