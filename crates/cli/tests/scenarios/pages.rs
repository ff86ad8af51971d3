//! Every page of the web UI in a real browser, over the real program and the finance example at work.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millstream_testkit::Process;

use crate::finance::Finance;
use crate::http::get;
use crate::models::write;
use crate::project::stop;
use crate::serving::SEEN_WAIT_MAX;

/// All pages, on a busy machine.
const PAGES_WAIT_MAX: Duration = Duration::from_secs(400);

/// Enough for a past that is seen.
const BUILDS: usize = 5;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn browser() -> PathBuf {
    std::env::var_os("CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from)
}

/// What the pages of models show beside the example's own: of each kind of node one at least.
const MODELS: &[(&str, &str)] = &[
    (
        "dbt_project.yml",
        "name: finance\nversion: '1.0'\nprofile: nowhere\n\
         models: {finance: {staging: {+schema: staging, +tags: [staging]}, marts: {+schema: marts, +materialized: table, +tags: [nightly]}}}\n\
         seeds: {finance: {+schema: seeds}}\nsnapshots: {finance: {+schema: snapshots}}\n",
    ),
    ("models/staging/stg_customers.sql", "select customer_id, customer_name, is_active\nfrom {{ source('operations', 'customers') }}\n"),
    ("models/staging/stg_products.sql", "select product_id, product_name, unit_price\nfrom {{ source('operations', 'products') }}\n"),
    (
        "models/staging/stg_orders.sql",
        "select order_id, customer_id, order_date, delivery_date, status\nfrom {{ source('operations', 'orders') }}\n",
    ),
    (
        "models/staging/stg_order_items.sql",
        "select order_item_id, order_id, product_id, quantity\nfrom {{ source('operations', 'order_items') }}\n",
    ),
    (
        "models/marts/order_values.sql",
        "{{ config(materialized='incremental', unique_key='order_id') }}\n\n\
         select\n    o.order_id,\n    o.customer_id,\n    o.order_date,\n    s.is_final,\n    sum(i.quantity * p.unit_price) as value\n\
         from {{ ref('stg_orders') }} as o\njoin {{ ref('stg_order_items') }} as i using (order_id)\n\
         join {{ ref('stg_products') }} as p using (product_id)\njoin {{ ref('statuses') }} as s using (status)\n\
         {% if is_incremental() %}\n  where o.order_id > (select max(order_id) from {{ this }})\n{% endif %}\ngroup by all\n",
    ),
    (
        "models/marts/customer_values.sql",
        "select customer_id, c.customer_name, count(*) as orders, sum(value) as value\n\
         from {{ ref('order_values') }}\njoin {{ ref('stg_customers') }} as c using (customer_id)\ngroup by all\n",
    ),
    (
        "models/marts/revenue_by_day.sql",
        "select order_date, sum(value) as revenue\nfrom {{ ref('order_values') }}\nwhere is_final\ngroup by order_date\n",
    ),
    ("models/marts/late_orders.sql", "select order_id, customer_id\nfrom {{ ref('stg_orders') }}\nwhere delivery_date > order_date + 3\n"),
    ("models/marts/late_by_customer.sql", "select customer_id, count(*) as late\nfrom {{ ref('late_orders') }}\ngroup by customer_id\n"),
    (
        "models/finance.yml",
        "models:\n\
         \x20 - name: stg_orders\n    columns:\n\
         \x20     - {name: order_id, description: The number at the source., data_tests: [unique, not_null]}\n\
         \x20     - name: status\n        data_tests: [{accepted_values: {arguments: {values: [OPEN, PENDING, COMPLETED]}, config: {severity: warn}}}]\n\
         \x20 - name: order_values\n    description: What each order is worth, at the price of today.\n    columns:\n\
         \x20     - {name: order_id, data_tests: [unique, not_null]}\n\
         \x20     - {name: value, description: In the currency of the price list.}\n\
         exposures:\n  - {name: board_report, type: dashboard, owner: {name: Finance}, depends_on: [ref('revenue_by_day'), ref('customer_values')]}\n",
    ),
    ("tests/no_negative_value.sql", "select *\nfrom {{ ref('order_values') }}\nwhere value < 0\n"),
    (
        "seeds/statuses.csv",
        "status,is_final\nOPEN,false\nPENDING,false\nPROCESSING,false\nREPROCESSING,false\nCOMPLETED,true\nCANCELLED,true\n",
    ),
    (
        "snapshots/customer_names.sql",
        "{% snapshot customer_names %}\n\
         {{ config(unique_key='customer_id', strategy='check', check_cols=['customer_name']) }}\n\
         select * from {{ ref('stg_customers') }}\n{% endsnapshot %}\n",
    ),
];

/// Runs a file of `ui/e2e` against the instance; nothing may be wrong on its pages.
fn browse(file: &str, address: &str, process: &Process) {
    let ui = checkout().join("ui");
    let ready = browser().exists() && ui.join("node_modules/playwright-core").exists();
    assert!(ready, "no browser, or no UI: run scripts/bootstrap browser and make ui");
    assert_ne!(get(address, "/ui").status, 501, "this build has no UI: run make ui, and build again");
    let mut command = Command::new("node");
    command.args(["--test", &format!("e2e/{file}")]).current_dir(&ui);
    command.env("MILLSTREAM_HTTP", format!("http://{address}")).env("CHROMIUM", browser());
    let mut pages = Process::spawn(command).unwrap();
    let status = pages.wait(PAGES_WAIT_MAX).unwrap();
    assert!(status.success(), "{}\n{}\n{}", pages.stdout(), pages.stderr(), process.tail());
}

#[test]
fn every_page_works_in_a_browser() {
    let Finance { cluster, project: _project, process, address } = Finance::start();

    let mut command = Command::new(cluster.bin_dir().join("psql"));
    command.args(["-Xq", "-d", &cluster.url(), "-c", "CALL generator.run(minutes_per_second => 1)"]);
    let load = Process::spawn(command).unwrap();
    browse("served.test.mjs", &address, &process);
    drop(load);
    let errors: Vec<String> =
        process.stderr().lines().filter(|line| line.starts_with("error")).map(str::to_owned).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(process.wait_for_line("streaming", SEEN_WAIT_MAX).is_ok());
    stop(process);
}

#[test]
fn the_pages_of_models_work_in_a_browser() {
    let Finance { cluster: _cluster, project, process, address } = Finance::start_with(MODELS);
    assert!(process.stderr().contains("models: "), "{}", process.tail());
    for _ in 0..BUILDS {
        project.succeed(&["build"]);
    }
    write(
        project.directory(),
        &[("models/marts/late_orders.sql", "select order_id, customer_id\nfrom {{ ref('stg_orders') }}\nwhere delivered_on > order_date + 3\n")],
    );
    assert_eq!(project.run(&["build"]).status.code(), Some(1), "a model fails");
    browse("built.test.mjs", &address, &process);
    stop(process);
}
