//! The engagement example as it stands: a dirty sheet in a database, kept live, and models that clean it, against what its generator knows to be true.

use std::fs;

use millstream_testkit::{Json, PgCluster};

use crate::project::{example, stop, Project};

/// Enough for every form of every dirt, and a tenth of them corrections.
const LINES: u32 = 1_200;

const TRUTH: &str = "SELECT coalesce(json_agg(t ORDER BY engagement_id), '[]') FROM ( \
     SELECT DISTINCT ON (project_id, engagement_id) project_id, engagement_id, customer_id, customer_name, engagement_date, revenue, service, sub_service, \
     engagement_type, employee_count, service_type FROM generator.truth(1, (SELECT max(line) FROM clients.engagement_metrics)) \
     ORDER BY project_id, engagement_id, line DESC) AS t";

const CLEANED: &str = "SELECT project_id, engagement_id, customer_id, customer_name, engagement_date, revenue::bigint AS revenue, service, sub_service, \
     engagement_type, employee_count, service_type FROM marts.fct_engagement_metrics ORDER BY engagement_id";

#[test]
fn what_is_typed_in_every_way_is_cleaned_to_what_is_true() {
    let cluster = PgCluster::start_default().unwrap();
    let sql = |name: &str| fs::read_to_string(example("engagement").join("sql").join(name)).unwrap();
    cluster.execute(&sql("schema.sql")).unwrap();
    cluster.execute(&sql("generator.sql")).unwrap();
    let load = |from: u32, to: u32| {
        let lines =
            format!("INSERT INTO clients.engagement_metrics SELECT * FROM generator.lines({from}, {to})");
        cluster.execute(&lines).unwrap();
    };
    load(1, LINES);
    let project = Project::of_example("engagement", &cluster.url());
    project.succeed(&["deps"]);
    let mut process = project.up("");
    project.await_streaming(&mut process);
    assert!(process.stderr().contains("models: 8 built"), "{}", process.tail());
    assert!(!process.stderr().contains("failed"), "{}", process.tail());
    let compare = || {
        let (ours, truth) = (project.sql(CLEANED), cluster.execute(TRUTH).unwrap());
        let (ours, truth) = (Json::parse(&ours).unwrap(), Json::parse(&truth).unwrap());
        assert_eq!(ours, truth);
    };
    compare();
    project.expect(
        "SELECT count(*) AS n, sum(engagements) AS engagements FROM marts.project_engagement",
        &format!(r#"[{{"n":12,"engagements":{}}}]"#, LINES - LINES / 10),
    );
    // Later lines arrive while it runs, corrections of earlier ones among them.
    load(LINES + 1, LINES + 300);
    project.catch_up();
    let built = project.succeed(&["build"]);
    assert!(built.contains("Completed successfully"), "{built}");
    compare();
    // The same models in the source database itself, by the profile: the same marts.
    let mut command = project.command(&["build", "--target", "postgres"]);
    let port = cluster.port().to_string();
    for (name, value) in
        [("PGHOST", "127.0.0.1"), ("PGPORT", &port), ("PGUSER", "postgres"), ("PGDATABASE", "postgres")]
    {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("Completed successfully"), "{told}");
    for (mart, key) in
        [("fct_engagement_metrics", "project_id, engagement_id"), ("project_engagement", "project_id")]
    {
        let query = format!("SELECT * FROM marts.{mart} ORDER BY {key}");
        let there = cluster.execute(&format!("SELECT json_agg(t) FROM ({query}) AS t")).unwrap();
        let (live, there) = (Json::parse(&project.sql(&query)).unwrap(), Json::parse(&there).unwrap());
        assert_eq!(live, there, "{mart}");
    }
    stop(process);
}
