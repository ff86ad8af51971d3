//! Seeds in PostgreSQL: copied, with the rows that dbt inserts.

use std::fs;

use super::Twins;

/// How a seed was loaded, by the statement that is told of it.
fn is_copied(twins: &Twins, name: &str) -> bool {
    let path = twins.pair.at("ours").join(format!("target/run/bakery/seeds/{name}.csv"));
    fs::read_to_string(path).unwrap().contains("\ncopy ")
}

#[test]
fn a_seed_is_copied_with_the_rows_that_dbt_inserts() {
    let twins = Twins::new("shop", "bakery");
    let select = ["seed", "--select", "awkward", "zones", "wide"];
    twins.write(
        "seeds/awkward.csv",
        concat!(
            "id,word,price,share,day,at,yes,short,kept,list\n",
            "1,\"a\\b\tc\",1.50,3,2024-02-29,2024-01-01 10:00:00,true,abc,\"{\"\"a\"\": \"\"\\\\n\"\"}\",\"{1,2}\"\n",
            "2,\"two\nlines\",-2,0.25,2024-01-01,2024-1-1 9:59:59,FALSE,,\"[1, null]\",\"{}\"\n",
            "3,\\N,,null,,,,x,null,\n",
            "4,\\.,1e3,7,1999-12-31,1999-12-31 00:00:00,True,\"a,b\",{},\"{NULL}\"\n",
            "5,\"quo\"\"te ' größe €\",10,1,2024-01-01,2024-01-01 00:00:00,false,y,\"\"\"s\"\"\",\"{-1}\"\n",
        ),
    );
    twins.write(
        "seeds/zones.csv",
        "a,at\n1,2024-01-01T10:00:00+02:00\n2,2024-07-01T10:00:00.1234567Z\n3,20240701T1000\n",
    );
    let rows: Vec<String> = (0..12_000).map(|n| format!("{n},word {n} {}", "x".repeat(90))).collect();
    twins.write("seeds/wide.csv", &format!("n,word\n{}\n", rows.join("\n")));
    twins.write(
        "seeds/types.yml",
        "seeds:\n  - name: awkward\n    config: {column_types: {short: varchar(3), kept: jsonb, list: 'int[]'}}\n",
    );
    twins.both(&select);
    let copied = |names: [&str; 3]| names.map(|name| is_copied(&twins, name));
    assert_eq!(copied(["awkward", "wide", "zones"]), [true, true, false]);
    // Emptied and filled again, and made anew.
    twins.both(&select);
    assert_eq!(copied(["awkward", "wide", "zones"]), [true, true, false]);
    twins.both(&[&select[..], &["--full-refresh"]].concat());
    // What COPY would pass over is done, and what it would refuse.
    twins.execute(
        "create table dev_raw.noted (id int); create rule noting as on insert to dev_raw.awkward do also insert into dev_raw.noted values (new.id);
         alter table dev_raw.wide enable row level security",
    );
    twins.both(&select);
    assert_eq!(copied(["awkward", "wide", "zones"]), [false, false, false]);
}

#[test]
fn a_seed_with_a_row_that_the_server_refuses_keeps_what_was_there() {
    let twins = Twins::new("shop", "bakery");
    let short = |rows: &str| twins.write("seeds/short.csv", &format!("a,b\n{rows}"));
    twins.write("seeds/types.yml", "seeds: [{name: short, config: {column_types: {b: varchar(3)}}}]");
    short("1,abc\n2,d\n");
    twins.both(&["seed", "--select", "short"]);
    short("1,abc\n2,too long\n3,d\n");
    let told = twins.both_but_words(&["seed", "--select", "short"]);
    assert!(told.contains("22001") && told.contains("character varying(3)"), "{told}");
    // The connection that it failed on goes on.
    twins.both_but_words(&["seed", "--select", "short", "loaves", "--threads", "1"]);
}

/// A column for each value, so that its type tells what the value is taken for.
#[test]
fn columns_have_the_types_that_dbt_infers() {
    let values = [
        "1",
        "1.0",
        "1.50",
        "1e3",
        "1.5e1",
        "-2.00",
        "+3",
        "007",
        "1_000",
        "$5.00",
        "-€5",
        "50%",
        "12.5%",
        "0.0",
        ".5",
        "5.",
        "1.2.3",
        "1e",
        "-",
        "2024-02-29",
        "2023-02-29",
        "2024-1-5",
        "2024-01-01 10:00:00",
        "2024-1-1 9:5:7",
        "2024-01-01 10:00",
        "2024-01-01 10:00:00.5",
        "2024-01-01 10:00:00Z",
        "2024-01-01T10:00:00",
        "2024-01-01T10:00:00.25",
        "2024-01-01T10:00",
        "2024-01-01T10",
        "20240101T100000Z",
        "2024-01-01T10:00:00+0200",
        "2024-01-01T25:00:00",
        "true",
        "FALSE",
        "yes",
        "t",
        " 7 ",
        "null",
    ];
    let twins = Twins::new("shop", "bakery");
    let header: Vec<String> = (0..values.len()).map(|at| format!("c{at}")).collect();
    twins.write("seeds/values.csv", &format!("{}\n{}\n", header.join(","), values.join(",")));
    // What all values of a column fit.
    twins.write(
        "seeds/mixed.csv",
        "a,b,c,d,e,f\n1,1.0,2024-01-01,2024-01-01 10:00:00,true,1\n2.0,1.5,2024-01-01 10:00:00,2024-01-01T10:00:00,1,x\n,2,,,,\n",
    );
    twins.both(&["seed", "--select", "values", "mixed"]);
}
