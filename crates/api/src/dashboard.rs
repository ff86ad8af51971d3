//! Dashboards: charts of statements and endpoints, as the project's files define them.

/// A page of charts.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    /// Its file's name without the suffix; what its address ends with.
    pub name: String,
    /// Its file, relative to the project.
    pub file: String,
    /// What it is called.
    pub title: String,
    /// What it shows, for people.
    pub description: Option<String>,
    /// The roles that may see it; `None`: those that may do everything.
    pub roles: Option<Vec<String>>,
    /// Its charts, in their order.
    pub charts: Vec<Chart>,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it is called.
    pub title: String,
    /// How its rows are drawn.
    pub kind: ChartKind,
    /// What it draws.
    pub of: ChartOf,
    /// The column across; `None`: the first that holds times, else the first.
    pub x: Option<String>,
    /// The column whose values are drawn; `None`: the last that holds numbers.
    pub y: Option<String>,
    /// The column that splits the rows into series.
    pub color: Option<String>,
}

/// What a chart draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartOf {
    /// The rows of a SELECT.
    Sql(String),
    /// The rows of an endpoint: its path, with parameters where it is asked with some.
    Endpoint(String),
}

/// How rows are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartKind {
    /// The first value, large.
    Number,
    /// A line for each series.
    Line,
    /// Bars beside one another.
    Bar,
    /// Bars upon one another.
    Stacked,
    /// Parts of a whole.
    Pie,
    /// The rows themselves.
    Table,
    /// A picture for each row.
    Images,
}

impl ChartKind {
    /// Every kind and its name in a file.
    pub const ALL: [(&'static str, ChartKind); 7] = [
        ("number", ChartKind::Number),
        ("line", ChartKind::Line),
        ("bar", ChartKind::Bar),
        ("stacked", ChartKind::Stacked),
        ("pie", ChartKind::Pie),
        ("table", ChartKind::Table),
        ("images", ChartKind::Images),
    ];

    /// Its name in a file.
    pub fn name(self) -> &'static str {
        // The table holds every kind.
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("table", |(name, _)| name)
    }
}
