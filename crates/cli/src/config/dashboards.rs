//! `dashboards/*.yml`: pages of charts.

use std::{io, path::PathBuf};

use millstream_api::{
    dashboard::{Chart, ChartKind, ChartOf, Dashboard},
    host::{Dashboards, Endpoints},
};

use super::{
    access::{named_roles, AccessSettings, RoleSettings},
    check::{check_dashboard, nearest},
    error::{ConfigError, Problem, ProblemKind},
    files, text_at,
    tree::{self, Kind as NodeKind, Node},
    Project,
};

/// What the files end with.
const SUFFIXES: &[&str] = &["yml", "yaml"];

/// The dashboards' files by path. A project without any has no directory.
pub(crate) fn dashboard_files(project: &Project) -> io::Result<Vec<PathBuf>> {
    files::below(&project.dashboards, SUFFIXES)
}

/// Reads them.
pub(crate) fn read_dashboards(
    project: &Project,
    endpoints: &Endpoints,
) -> Result<(Dashboards, Vec<ConfigError>), ConfigError> {
    let read = files::read_each(&project.dir, &project.dashboards, SUFFIXES, |of, others: &[Dashboard]| {
        let dashboard =
            parse(of.file, of.name, of.text, endpoints, &project.access).map_err(ConfigError::Wrong)?;
        match others.iter().find(|other| other.name == of.name) {
            Some(other) => {
                let message = format!("{} is called like {}", of.file, other.file);
                let problem = Problem::new(ProblemKind::BadValue, message, None);
                Err(problem.hint("rename one of them: a dashboard's address ends with its name").into())
            }
            None => Ok(dashboard),
        }
    })?;
    Ok((Dashboards { served: read.served, broken: read.broken }, read.errors))
}

fn parse(
    file: &str,
    name: &str,
    text: &str,
    endpoints: &Endpoints,
    access: &AccessSettings,
) -> Result<Dashboard, Vec<Problem>> {
    let root = tree::parse(file, text).map_err(|problem| vec![problem])?;
    let mut problems = check_dashboard(&root);
    let roles = named_roles(&root, access, "the dashboard", &mut problems);
    let mut charts = Vec::new();
    match root.get("charts").map(|node| &node.kind) {
        Some(NodeKind::List(items)) if problems.is_empty() => {
            for item in items {
                match chart(item, endpoints) {
                    Ok(chart) => {
                        let may = roles.iter().flatten().filter_map(|role| access.role(role));
                        problems.extend(shut_out(item, &chart, endpoints, may));
                        charts.push(chart);
                    }
                    Err(problem) => problems.push(problem),
                }
            }
        }
        _ => {}
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Dashboard {
        name: name.to_owned(),
        file: file.to_owned(),
        title: text_at(&root, &["title"]).unwrap_or(name).to_owned(),
        description: text_at(&root, &["description"]).map(str::to_owned),
        roles,
        charts,
    })
}

/// A chart that draws an endpoint is drawn for those who may call that.
fn shut_out<'a>(
    node: &Node,
    chart: &Chart,
    endpoints: &Endpoints,
    mut roles: impl Iterator<Item = &'a RoleSettings>,
) -> Option<Problem> {
    let ChartOf::Endpoint(endpoint) = &chart.of else { return None };
    let path = endpoint.split('?').next().unwrap_or_default();
    let endpoint = endpoints.served.iter().find(|endpoint| endpoint.path == path)?;
    let role = roles.find(|role| !role.rights().may_call(endpoint))?;
    let place = node.get("endpoint").unwrap_or(node).place.clone();
    let message = format!("the dashboard is for the role `{}`, which may not call {path}", role.name);
    let hint =
        format!("grant it with `endpoints` of the role, or with `roles` in the head of {}", endpoint.file);
    Some(Problem::new(ProblemKind::BadValue, message, Some(place)).hint(hint))
}

fn chart(node: &Node, endpoints: &Endpoints) -> Result<Chart, Problem> {
    let text = |key: &str| text_at(node, &[key]).map(str::to_owned);
    let title = text("title").unwrap_or_default();
    let wrong = |message: String, key: &str, hint: String| {
        let place = node.get(key).unwrap_or(node).place.clone();
        Problem::new(ProblemKind::BadValue, message, Some(place)).hint(hint)
    };
    let of = match (text("sql"), text("endpoint")) {
        (Some(sql), None) => ChartOf::Sql(sql.trim().trim_end_matches(';').to_owned()),
        (None, Some(endpoint)) => {
            let path = endpoint.split('?').next().unwrap_or_default();
            let paths = || endpoints.served.iter().map(|endpoint| endpoint.path.as_str());
            // Where a file of an endpoint is wrong, its path is not known.
            if endpoints.broken.is_empty() && !paths().any(|known| known == path) {
                let hint = match nearest(path, paths()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", paths().collect::<Vec<_>>().join(", ")),
                };
                return Err(wrong(format!("there is no endpoint `{path}`"), "endpoint", hint));
            }
            ChartOf::Endpoint(endpoint)
        }
        (Some(_), Some(_)) => {
            let hint = "leave one of them out".to_owned();
            return Err(wrong(
                format!("the chart `{title}` has both `sql` and `endpoint`"),
                "endpoint",
                hint,
            ));
        }
        (None, None) => {
            let hint = "write `sql: SELECT …`, or `endpoint:` and its path".to_owned();
            return Err(wrong(format!("the chart `{title}` draws nothing"), "title", hint));
        }
    };
    let kind = text("kind");
    let kind = ChartKind::ALL.into_iter().find(|(name, _)| Some(*name) == kind.as_deref());
    Ok(Chart {
        title,
        // What is no kind was refused with the shape.
        kind: kind.map_or(ChartKind::Table, |(_, kind)| kind),
        of,
        x: text("x"),
        y: text("y"),
        color: text("color"),
    })
}

#[cfg(test)]
mod tests {
    use millstream_api::{access::Limits, endpoint::Endpoint};

    use super::*;

    fn endpoints() -> Endpoints {
        let orders = Endpoint {
            path: "/orders".into(),
            file: "api/orders.sql".into(),
            description: None,
            params: Vec::new(),
            cache: None,
            live: false,
            roles: None,
            sql: "SELECT 1".into(),
            limited_by: None,
        };
        Endpoints { served: vec![orders], broken: Vec::new() }
    }

    fn read(text: &str) -> Result<Dashboard, String> {
        let clerk = RoleSettings {
            name: "clerk".into(),
            tables: Vec::new(),
            endpoints: vec!["/people".into()],
            sql: false,
            admin: false,
            restrictions: Vec::new(),
            limits: Limits::default(),
        };
        let analyst =
            RoleSettings { name: "analyst".into(), endpoints: vec!["/orders*".into()], ..clerk.clone() };
        let mut access = AccessSettings::default();
        access.roles = vec![clerk, analyst];
        parse("dashboards/orders.yml", "orders", text, &endpoints(), &access)
            .map_err(|problems| files::told(&ConfigError::Wrong(problems)))
    }

    #[test]
    fn charts_are_of_statements_and_endpoints() {
        let dashboard = read(
            "title: Orders\ncharts:\n  - {title: Open, sql: \"select count(*) from orders;\", kind: number}\n  \
             - {title: By day, endpoint: /orders?status=all, kind: bar, x: day, y: orders, color: status}\n",
        )
        .unwrap();
        assert_eq!((dashboard.name.as_str(), dashboard.title.as_str()), ("orders", "Orders"));
        let [open, by_day] = &dashboard.charts[..] else { panic!("{dashboard:?}") };
        assert_eq!(
            (open.kind, &open.of),
            (ChartKind::Number, &ChartOf::Sql("select count(*) from orders".into()))
        );
        assert_eq!(by_day.of, ChartOf::Endpoint("/orders?status=all".into()));
        assert_eq!((by_day.x.as_deref(), by_day.color.as_deref()), (Some("day"), Some("status")));
    }

    #[test]
    fn roles_that_may_see_a_dashboard_may_call_what_it_draws() {
        let text = |roles: &str| {
            format!("title: x\nroles: [{roles}]\ncharts:\n  - {{title: a, kind: bar, endpoint: /orders?status=all}}")
        };
        assert_eq!(read(&text("analyst")).unwrap().roles, Some(vec!["analyst".to_owned()]));
        for (roles, said) in [
            ("analyst, clerk", "dashboards/orders.yml:4:"),
            ("analyst, clerk", "for the role `clerk`, which may not call /orders"),
            ("analist", "did you mean `analyst`?"),
        ] {
            let error = read(&text(roles)).unwrap_err();
            assert!(error.contains(said), "{roles}\n{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, said) in [
            ("charts: []\ntitle: x", "`charts` is empty"),
            ("title: x", "the key `charts` is missing"),
            ("title: x\ncharts:\n  - {title: a, kind: bar}", "dashboards/orders.yml:3:"),
            ("title: x\ncharts:\n  - {title: a, kind: bars, sql: SELECT 1}", "did you mean `bar`?"),
            ("title: x\ncharts:\n  - {titel: a, kind: bar, sql: SELECT 1}", "did you mean `title`?"),
            ("title: x\ncharts:\n  - {title: a, kind: bar, endpoint: /order}", "did you mean `/orders`?"),
            (
                "title: x\ncharts:\n  - {title: a, kind: bar, endpoint: /orders, sql: SELECT 1}",
                "both `sql` and `endpoint`",
            ),
            ("title: [x", "dashboards/orders.yml:1:"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}\n{error}");
        }
    }
}
