//! A project at work: a server, some tables, and `up` streaming from it.

use millstream_testkit::{PgCluster, Process};

use crate::project::{stop, Project};

/// The server, the project and the running program.
pub(crate) struct Live {
    pub(crate) cluster: PgCluster,
    pub(crate) project: Project,
    pub(crate) process: Process,
}

impl Live {
    /// Starts everything, with tables of the schema `shop` that `sql` makes and fills.
    #[track_caller]
    pub(crate) fn start(sql: &str) -> Self {
        Self::start_with(sql, "")
    }

    /// The same, with settings of tables.
    #[track_caller]
    pub(crate) fn start_with(sql: &str, tables: &str) -> Self {
        // So that a transaction of some hundred rows is streamed already.
        let cluster = PgCluster::builder().setting("logical_decoding_work_mem", "64kB").start().unwrap();
        cluster.execute(&format!("CREATE SCHEMA shop; SET search_path = shop;\n{sql}")).unwrap();
        let project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
        project.set_tables(tables);
        let mut process = project.up("");
        project.await_streaming(&mut process);
        Self { cluster, project, process }
    }

    /// Runs SQL at the source in the schema `shop`, and waits until the warehouse has it.
    #[track_caller]
    pub(crate) fn change(&self, sql: &str) {
        self.write(sql);
        self.project.catch_up();
    }

    /// Runs SQL at the source in the schema `shop`.
    #[track_caller]
    pub(crate) fn write(&self, sql: &str) -> String {
        self.cluster.execute(&format!("SET search_path = shop;\n{sql}")).unwrap()
    }

    /// Kills the program without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// Starts it again.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        self.process = self.project.up("");
        self.project.await_streaming(&mut self.process);
    }

    /// Everything must be equal in the end, and the program must stop well.
    #[track_caller]
    pub(crate) fn finish(self) {
        self.project.catch_up();
        self.project.verify();
        stop(self.process);
    }
}
