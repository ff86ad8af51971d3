//! `traces`, and the field's own variables for what the file leaves out.
//!
//! The variables are OpenTelemetry's ("Environment Variable Specification"), so that Millstream beside other services is configured as they
//! are. What the file says comes before them.

use millstream_traces::{check_header, Endpoint, EndpointError, Sampling};

use super::{
    error::{Problem, ProblemKind},
    place::Place,
    scalar, text_at,
    tree::{Kind, Node},
    units, Secret, Variables,
};

/// What this program is called where nobody says otherwise.
const SERVICE: &str = "millstream";

/// Where traces go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSettings {
    /// The collector.
    pub endpoint: Endpoint,
    /// Headers that it is sent.
    pub headers: Vec<(String, Secret)>,
    /// What it is told of this program.
    pub resource: Vec<(String, String)>,
    /// Which traces are kept.
    pub sampling: Sampling,
}

/// An address that can't be meant.
pub(super) fn wrong_address(name: &str, error: &EndpointError, place: Option<Place>) -> Problem {
    Problem::new(ProblemKind::BadValue, format!("the address of `{name}` {error}"), place)
        .hint("write the address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318")
}

/// A variable that is set, to something.
fn variable<'a>(variables: &'a Variables, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
    names.iter().find_map(|name| {
        let text = variables.get(name)?.trim();
        (!text.is_empty()).then_some((*name, text))
    })
}

fn wrong_variable(name: &'static str, message: &str, hint: &str) -> Problem {
    Problem::new(ProblemKind::BadValue, format!("{name} {message}"), Some(Place::Variable(name.into())))
        .hint(hint)
}

/// `name=value` pairs, separated by commas, values with percent escapes (W3C Baggage).
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let members = text.split(',').filter(|member| !member.trim().is_empty());
    members
        .map(|member| {
            let (name, value) = member.split_once('=')?;
            Some((name.trim().to_owned(), unescaped(value.trim())?))
        })
        .collect()
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
        bytes.push((digit(rest.next())? * 16 + digit(rest.next())?) as u8);
    }
    String::from_utf8(bytes).ok()
}

impl TraceSettings {
    /// Of a tree that has passed the shape, and of the environment. `None`: nothing is traced.
    pub(super) fn of(root: &Node, project: &str, variables: &Variables) -> Result<Option<Self>, Problem> {
        let is_off = |name, off: &str| {
            variable(variables, &[name]).is_some_and(|(_, text)| text.eq_ignore_ascii_case(off))
        };
        if is_off("OTEL_SDK_DISABLED", "true") || is_off("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let Some(endpoint) = endpoint(root, variables)? else { return Ok(None) };
        Ok(Some(TraceSettings {
            endpoint,
            headers: headers(root, variables)?,
            resource: resource(root, project, variables)?,
            sampling: sampling(root, variables)?,
        }))
    }
}

fn endpoint(root: &Node, variables: &Variables) -> Result<Option<Endpoint>, Problem> {
    if let Some(text) = text_at(root, &["traces", "endpoint"]) {
        // It has passed the shape.
        return Ok(Endpoint::of_collector(text).ok());
    }
    let named = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let Some((name, text)) = variable(variables, &named) else { return Ok(None) };
    let protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    if let Some((protocol, "grpc")) = variable(variables, &protocols) {
        return Err(wrong_variable(
            protocol,
            "is grpc, and Millstream sends traces over HTTP",
            "set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to the collector's HTTP port \
             (4318, with the path /v1/traces), or OTEL_TRACES_EXPORTER=none to send none",
        ));
    }
    let endpoint = if name == named[0] { Endpoint::of_traces(text) } else { Endpoint::of_collector(text) };
    endpoint.map(Some).map_err(|error| wrong_address(name, &error, Some(Place::Variable(name.into()))))
}

fn headers(root: &Node, variables: &Variables) -> Result<Vec<(String, Secret)>, Problem> {
    let wrong = |name: &str, why: &str, place: Place| {
        Problem::new(ProblemKind::BadValue, format!("the header `{name}` {why}"), Some(place))
            .hint("headers are what the collector asks for, such as an API key")
    };
    if let Some(Kind::Map(entries)) =
        root.get("traces").and_then(|traces| traces.get("headers")).map(|headers| &headers.kind)
    {
        let header = |(name, value): &(super::tree::Key, Node)| {
            let value = scalar(value).unwrap_or_default();
            check_header(&name.text, value).map_err(|why| wrong(&name.text, why, name.place.clone()))?;
            Ok((name.text.clone(), Secret::new(value)))
        };
        return entries.iter().map(header).collect();
    }
    let named = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
    let Some((variable, text)) = variable(variables, &named) else { return Ok(Vec::new()) };
    let pairs = pairs(text).ok_or_else(|| {
        wrong_variable(variable, "is not a list of headers", "write name=value,name2=value2")
    })?;
    let header = |(name, value): (String, String)| {
        // What stands before the `=` of something that is no header may be a part of a secret.
        check_header(&name, &value).map_err(|why| {
            let message = format!("holds a header that {why}");
            wrong_variable(variable, &message, "write name=value,name2=value2")
        })?;
        Ok((name, Secret::new(value)))
    };
    pairs.into_iter().map(header).collect()
}

fn resource(root: &Node, project: &str, variables: &Variables) -> Result<Vec<(String, String)>, Problem> {
    let mut resource = vec![
        ("service.name".to_owned(), SERVICE.to_owned()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("millstream.project".to_owned(), project.to_owned()),
        ("telemetry.sdk.name".to_owned(), "opentelemetry".to_owned()),
        ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
    ];
    let mut set = |name: &str, value: String| match resource.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => resource.push((name.to_owned(), value)),
    };
    if let Some((variable, text)) = variable(variables, &["OTEL_RESOURCE_ATTRIBUTES"]) {
        let pairs = pairs(text).ok_or_else(|| {
            wrong_variable(variable, "is not a list of attributes", "write name=value,name2=value2")
        })?;
        pairs.into_iter().for_each(|(name, value)| set(&name, value));
    }
    let service = text_at(root, &["traces", "service"])
        .or_else(|| variable(variables, &["OTEL_SERVICE_NAME"]).map(|(_, text)| text));
    if let Some(service) = service {
        set("service.name", service.to_owned());
    }
    Ok(resource)
}

fn sampling(root: &Node, variables: &Variables) -> Result<Sampling, Problem> {
    if let Some(share) = text_at(root, &["traces", "sample"]).and_then(units::parse_share) {
        return Ok(Sampling { share, follows_parent: true });
    }
    let Some((name, sampler)) = variable(variables, &["OTEL_TRACES_SAMPLER"]) else {
        return Ok(Sampling { share: 1.0, follows_parent: true });
    };
    let (follows_parent, own) = match sampler.strip_prefix("parentbased_") {
        Some(own) => (true, own),
        None => (false, sampler),
    };
    let share = match own {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => match variable(variables, &["OTEL_TRACES_SAMPLER_ARG"]) {
            None => 1.0,
            Some((name, text)) => units::parse_share(text)
                .ok_or_else(|| wrong_variable(name, "is not a number from 0 to 1", "write a share such as 0.1"))?,
        },
        _ => {
            return Err(wrong_variable(
                name,
                "names no sampler that Millstream has",
                "write always_on, always_off, traceidratio, or one of them behind parentbased_; or set `traces.sample`",
            ))
        }
    };
    Ok(Sampling { share, follows_parent })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{ConfigError, Project};

    use super::*;

    fn read(traces: &str, variables: &[(&str, &str)]) -> Result<Option<TraceSettings>, ConfigError> {
        let text = format!("version: 1\nname: shop\nsource: {{postgres: {{url: x}}}}\n{traces}\n");
        let variables = Variables::from_pairs(variables.iter().copied());
        Ok(Project::parse(Path::new("/p"), &text, &variables)?.traces)
    }

    fn of(settings: &TraceSettings, name: &str) -> String {
        let found = settings.resource.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    #[test]
    fn nothing_is_traced_where_nobody_names_a_collector() {
        assert_eq!(read("", &[]).unwrap(), None);
        assert_eq!(read("traces: {sample: 0.5}", &[("OTEL_SERVICE_NAME", "x")]).unwrap(), None);
        assert_eq!(read("traces:", &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap(), None);
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(read("traces: {endpoint: \"http://c:4318\"}", &[off]).unwrap(), None);
        }
    }

    #[test]
    fn the_file_comes_before_the_environment_which_comes_before_defaults() {
        let plain = read("traces: {endpoint: \"http://c:4318\"}", &[]).unwrap().unwrap();
        assert_eq!(plain.endpoint.to_string(), "http://c:4318/v1/traces");
        assert_eq!(plain.sampling, Sampling { share: 1.0, follows_parent: true });
        assert_eq!(
            (of(&plain, "service.name"), of(&plain, "millstream.project")),
            (SERVICE.into(), "shop".into())
        );
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://e:1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,x=1"),
            ("OTEL_SERVICE_NAME", "warehouse"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ];
        let told = read("", &environment).unwrap().unwrap();
        assert_eq!(told.endpoint.to_string(), "http://e:1/v1/traces");
        let headers: Vec<_> = told.headers.iter().map(|(name, value)| (&**name, value.expose())).collect();
        assert_eq!(headers, [("api-key", "a b"), ("x", "1")]);
        assert_eq!(
            (of(&told, "service.name"), of(&told, "deployment.environment.name")),
            ("warehouse".into(), "test".into())
        );
        assert_eq!(told.sampling, Sampling { share: 0.25, follows_parent: false });
        let file =
            "traces: {endpoint: \"https://f\", sample: 0.1, service: mill, headers: {api-key: \"${KEY}\"}}";
        let both: Vec<_> = environment.into_iter().chain([("KEY", "k")]).collect();
        let written = read(file, &both).unwrap().unwrap();
        assert_eq!(written.endpoint.to_string(), "https://f:443/v1/traces");
        assert_eq!((of(&written, "service.name"), written.headers.len()), ("mill".into(), 1));
        assert_eq!(written.sampling, Sampling { share: 0.1, follows_parent: true });
        let traces = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://e:1"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:2/in"),
        ];
        assert_eq!(read("", &traces).unwrap().unwrap().endpoint.to_string(), "http://t:2/in", "as it stands");
    }

    #[test]
    fn what_can_not_be_meant_is_refused_and_no_secret_shown() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://e:1");
        let file = "traces: {endpoint: \"http://c:4318\", ";
        let cases: [(String, Vec<(&str, &str)>); 9] = [
            ("traces: {endpoint: \"http://u:hunter2@c\"}".into(), vec![]),
            (format!("{file}headers: {{\"a b\": hunter2}}}}"), vec![]),
            (format!("{file}headers: {{x: [hunter2]}}}}"), vec![]),
            (format!("{file}headers: {{host: hunter2}}}}"), vec![]),
            (format!("{file}headers: {{x: hunter2, y: hunter2}}, sampel: 1}}"), vec![]),
            (String::new(), vec![endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]),
            (String::new(), vec![endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2 x=1")]),
            (String::new(), vec![endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
            (String::new(), vec![endpoint, ("OTEL_TRACES_SAMPLER", "jaeger_remote")]),
        ];
        for (file, variables) in cases {
            let ConfigError::Wrong(problems) = read(&file, &variables).unwrap_err() else { panic!("{file}") };
            let place = problems[0].place.as_ref().map(Place::snippet).unwrap_or_default();
            let told = format!("{}\n{:?}\n{place}", problems[0].message, problems[0].hint);
            assert!(!place.is_empty(), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
