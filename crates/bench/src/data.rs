//! The tables and what is done to them, as SQL. Everything is computed from the row's number, so two runs write the same.

/// The table of the snapshot and of the inserts: eight columns of the usual types, about 170 bytes a row with its header.
pub(crate) const EVENTS: &str = "
CREATE TABLE events (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    amount numeric(12,2) NOT NULL,
    score double precision,
    created_at timestamptz NOT NULL,
    note text
);
";

/// A row of it by its number `n`. The note differs from row to row, so that no dictionary shortens it; one score in ten is NULL.
const EVENT: &str = "n, n * 7919 % 100003, (ARRAY['purchase', 'refund', 'transfer', 'login'])[1 + n % 4], \
     (ARRAY['OPEN', 'PENDING', 'PROCESSING', 'COMPLETED', 'CANCELLED'])[1 + n * 31 % 5], \
     (n * 7907 % 10000000)::numeric / 100, CASE WHEN n % 10 <> 0 THEN n * 0.37 END, \
     timestamptz '2026-01-01 00:00+00' + n * interval '1 second', md5(n::text) || md5((n + 1)::text)";

/// Inserts rows into `events` by one statement.
pub(crate) fn insert_events_at_once(rows: u64) -> String {
    format!("INSERT INTO events SELECT {EVENT} FROM generate_series(1::bigint, {rows}) n;")
}

/// Inserts rows into `events`, each by a statement of its own.
pub(crate) fn insert_events_singly(rows: u64, rows_per_transaction: u64) -> String {
    each_in_transactions(rows, rows_per_transaction, &format!("INSERT INTO events SELECT {EVENT};"))
}

/// The table whose rows are changed: a narrow one, so that 50 million rows fit.
pub(crate) const ACCOUNTS: &str = "
CREATE TABLE accounts (
    id bigint NOT NULL,
    customer_id bigint NOT NULL,
    status text NOT NULL,
    amount numeric(12,2) NOT NULL,
    updated_at timestamptz NOT NULL
);
";

/// Fills `accounts`, and indexes it afterwards: with the index first, 50 million rows take minutes.
pub(crate) fn load_accounts(rows: u64) -> String {
    format!(
        "INSERT INTO accounts SELECT n, n * 7919 % 100003, (ARRAY['OPEN', 'CLOSED', 'FROZEN'])[1 + n % 3], \
         (n * 7907 % 10000000)::numeric / 100, timestamptz '2026-01-01 00:00+00' + n * interval '1 second' \
         FROM generate_series(1::bigint, {rows}) n;\n\
         ALTER TABLE accounts ADD PRIMARY KEY (id);\n\
         VACUUM (FREEZE, ANALYZE) accounts;"
    )
}

/// Which keys a run of changes has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// All over the table, each once: a walk through it in large, uneven steps.
    Scattered,
    /// Among the newest [`RECENT_ROWS`].
    Recent,
}

/// What is done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Update,
    Delete,
}

/// What an application still works on.
pub(crate) const RECENT_ROWS: u64 = 50_000;

/// Larger than any table here and prime, so its multiples meet every key of a table before they meet one again.
const STEP: u64 = 2_654_435_761;

/// Changes that many rows of a table of `rows`, each by a statement of its own. Every statement meets a row: the scattered
/// deletes stay away from the newest rows, which the recent ones take.
pub(crate) fn change_accounts(
    action: Action,
    keys: Keys,
    rows: u64,
    changes: u64,
    changes_per_transaction: u64,
) -> String {
    let statement = match (action, keys) {
        (Action::Update, Keys::Scattered) => update(&format!("n * {STEP} % {rows} + 1")),
        (Action::Update, Keys::Recent) => update(&format!("{rows} - n * 31 % {}", RECENT_ROWS.min(rows))),
        (Action::Delete, Keys::Scattered) => delete(&format!("n * {STEP} % {} + 1", rows - changes)),
        (Action::Delete, Keys::Recent) => delete(&format!("{rows} + 1 - n")),
    };
    each_in_transactions(changes, changes_per_transaction, &statement)
}

/// Updates a row somewhere among the first half, where at least one in two is there whatever was deleted.
pub(crate) fn change_one_account(rows: u64, number: u64) -> String {
    let key = number * STEP % (rows / 2) + 1;
    update(&format!("(SELECT min(id) FROM accounts WHERE id >= {key})"))
}

fn update(key: &str) -> String {
    format!("UPDATE accounts SET amount = amount + 1, updated_at = updated_at + interval '1 day' WHERE id = {key};")
}

fn delete(key: &str) -> String {
    format!("DELETE FROM accounts WHERE id = {key};")
}

/// Runs a statement once for each `n` from 1, committing now and then.
fn each_in_transactions(times: u64, times_per_transaction: u64, statement: &str) -> String {
    // PL/pgSQL's loop counts in 32 bits, and what is computed from the number needs more.
    format!(
        "DO $$ DECLARE n bigint; BEGIN FOR i IN 1 .. {times} LOOP n := i; {statement} \
         IF n % {times_per_transaction} = 0 THEN COMMIT; END IF; END LOOP; END $$;"
    )
}

/// pgbench's script of an application: four updates to one insert, a transaction each.
pub(crate) fn application(keys: &str) -> String {
    format!(
        "\\set id {keys}\n\\set kind random(1, 5)\n\\if :kind = 1\n\
         INSERT INTO accounts VALUES (nextval('account_ids'), :id, 'OPEN', 1, now());\n\\else\n\
         UPDATE accounts SET amount = amount + 1, updated_at = now() WHERE id = :id;\n\\endif\n"
    )
}

/// pgbench's script for the finance example: one transaction in five takes an order of three items, the others move an order that is in
/// flight, one of the last twentieth, to another status.
pub(crate) fn finance_load(orders: u64) -> String {
    format!(
        "\\set order_id random({}, {orders})\n\\set customer_id random(1, {})\n\\set product_id random(1, 997)\n\
         \\set days random(1, 14)\n\\set status random(1, 6)\n\\set dice random(1, 5)\n\
         \\if :dice = 1\n\
         WITH taken AS (INSERT INTO operations.orders (order_date, delivery_date, customer_id, status) \
         VALUES (date '2026-01-31', date '2026-01-31' + :days::int, :customer_id, 'OPEN') RETURNING order_id) \
         INSERT INTO operations.order_items (order_id, product_id, quantity) \
         SELECT order_id, :product_id + n, 1 + n FROM taken, generate_series(1, 3) AS n;\n\
         \\else\n\
         UPDATE operations.orders SET updated_at = now(), updated_by = 'load', status = (ARRAY['OPEN', 'OPEN', 'PENDING', 'PENDING', \
         'PROCESSING', 'COMPLETED'])[:status] WHERE order_id = :order_id;\n\
         \\endif\n",
        orders - orders / 20 + 1,
        (orders / 10).max(10),
    )
}
