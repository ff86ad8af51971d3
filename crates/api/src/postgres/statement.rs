//! What a client's text asks for: split into statements, and each told apart by its words.
//!
//! The words come from `sqlparser`'s tokenizer, so that a semicolon or a `$1` within a text, a quoted name or a comment is none. What a question
//! says beyond its first word is the warehouse's to read: its dialect is not PostgreSQL's.

use sqlparser::{
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer},
};

use super::{
    copy::CopyOptions,
    error::{Outcome, WireError},
};

/// What one statement asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    /// Nothing: blanks and comments.
    Empty,
    /// Rows.
    Query(Query),
    /// The rows of a query or a table, as COPY sends them.
    Copy {
        query: String,
        options: CopyOptions,
    },
    Begin,
    Commit,
    Rollback,
    /// SAVEPOINT, RELEASE, ROLLBACK TO: there is nothing to undo, but a failed transaction goes on.
    Savepoint {
        tag: &'static str,
        recovers: bool,
    },
    /// `None`: back to its default.
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    /// SET TRANSACTION and SET SESSION CHARACTERISTICS: everything is read only here.
    SetTransaction,
    Show(String),
    ShowAll,
    ResetAll,
    Discard(&'static str),
    /// `None`: all.
    Deallocate(Option<String>),
    Declare {
        name: String,
        query: Query,
        holds: bool,
    },
    /// `None`: all that are left.
    Fetch {
        name: String,
        count: Option<usize>,
        moves: bool,
    },
    /// `None`: all.
    CloseCursor(Option<String>),
    Unlisten,
    /// What would change something, by its words.
    Write(String),
    Unsupported(String),
}

impl Request {
    /// Whether it is taken while a failed transaction waits for its end.
    pub(super) fn ends_failure(&self) -> bool {
        matches!(
            self,
            Request::Rollback | Request::Commit | Request::Empty | Request::Savepoint { recovers: true, .. }
        )
    }
}

/// A question for rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) sql: String,
    /// The tag's word: `SELECT`, or `EXPLAIN`.
    pub(super) tag: &'static str,
}

/// A statement's text, and its tokens but for blanks and comments.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<Spanned>,
}

/// A token, and where it stands in the statement's text.
#[derive(Debug)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Splits a text at its semicolons. There is always one statement, if only an empty one.
pub(super) fn split(text: &str) -> Outcome<Vec<Statement<'_>>> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| WireError::Syntax { what: error.to_string() })?;
    let mut places = Places { text, line: 1, column: 1, at: 0 };
    let mut offset = |location: Location| places.offset(location);
    let mut statements = Vec::new();
    let (mut from, mut kept) = (0, Vec::new());
    for TokenWithSpan { token, span } in tokens {
        match token {
            Token::SemiColon => {
                let at = offset(span.start);
                statements.push(Statement { text: &text[from..at], tokens: std::mem::take(&mut kept) });
                from = at + 1;
            }
            Token::Whitespace(_) | Token::EOF => {}
            token => {
                let start = offset(span.start) - from;
                let end = offset(span.end) - from;
                kept.push(Spanned { token, start, end });
            }
        }
    }
    // What follows the last semicolon is a statement only if there is something, or there was no other.
    if !kept.is_empty() || statements.is_empty() {
        statements.push(Statement { text: &text[from..], tokens: kept });
    }
    Ok(statements)
}

/// Turns the tokenizer's lines and columns into offsets. Those that it is asked for come in their order, so that a long text is walked once.
struct Places<'a> {
    text: &'a str,
    line: u64,
    column: u64,
    at: usize,
}

impl Places<'_> {
    fn offset(&mut self, location: Location) -> usize {
        let mut characters = self.text[self.at..].chars();
        while (self.line, self.column) < (location.line, location.column) {
            let Some(character) = characters.next() else { break };
            self.at += character.len_utf8();
            if character == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.at
    }
}

impl Statement<'_> {
    fn keyword(&self, index: usize) -> Keyword {
        match self.tokens.get(index).map(|spanned| &spanned.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        }
    }

    /// An unquoted word in upper case; empty where there is none.
    fn word(&self, index: usize) -> String {
        match self.tokens.get(index).map(|spanned| &spanned.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => String::new(),
        }
    }

    /// A name as PostgreSQL folds it.
    fn name(&self, index: usize) -> Option<String> {
        match &self.tokens.get(index)?.token {
            Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
            Token::Word(word) => Some(word.value.to_ascii_lowercase()),
            _ => None,
        }
    }

    /// The text from a token on.
    pub(super) fn text_from(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |spanned| self.text[spanned.start..].trim())
    }

    fn syntax(&self, index: usize) -> WireError {
        let what = match self.tokens.get(index) {
            Some(spanned) => format!("at or near \"{}\"", &self.text[spanned.start..spanned.end]),
            None => "at end of input".to_owned(),
        };
        WireError::Syntax { what }
    }

    /// The highest number of its parameters (`$3`).
    pub(super) fn parameters(&self) -> Outcome<usize> {
        let mut highest = 0;
        for (_, number) in self.placeholders() {
            let number = number.filter(|number| (1..=usize::from(u16::MAX)).contains(number));
            highest = highest
                .max(number.ok_or_else(|| WireError::Syntax { what: "there is no such parameter".into() })?);
        }
        Ok(highest)
    }

    fn placeholders(&self) -> impl Iterator<Item = (&Spanned, Option<usize>)> {
        self.tokens.iter().filter_map(|spanned| match &spanned.token {
            Token::Placeholder(name) => name.strip_prefix('$').map(|number| (spanned, number.parse().ok())),
            _ => None,
        })
    }

    /// The text with each parameter cast to the type that is known of it.
    pub(super) fn with_casts(&self, type_name: impl Fn(usize) -> Option<String>) -> String {
        self.with_parameters(|number, text| Some(format!("({text}::{})", type_name(number)?)))
    }

    /// The text with something in place of each parameter, by its number and its own text.
    pub(super) fn with_parameters(&self, replace: impl Fn(usize, &str) -> Option<String>) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut from = 0;
        for (spanned, number) in self.placeholders() {
            let text = &self.text[spanned.start..spanned.end];
            let Some(replacement) = number.and_then(|number| replace(number, text)) else { continue };
            out.push_str(&self.text[from..spanned.start]);
            out.push_str(&replacement);
            from = spanned.end;
        }
        out.push_str(&self.text[from..]);
        out.trim().to_owned()
    }

    /// The parameters of `x = ANY($1)`, and the text with `x = ($1)` in their place: what `x` is decides what the array's elements are.
    pub(super) fn any_parameters(&self) -> (Vec<usize>, String) {
        let mut numbers = Vec::new();
        let mut out = String::with_capacity(self.text.len());
        let mut from = 0;
        for (at, window) in self.tokens.windows(4).enumerate() {
            let [word, Spanned { token: Token::LParen, .. }, Spanned { token: Token::Placeholder(name), .. }, Spanned { token: Token::RParen, .. }] =
                window
            else {
                continue;
            };
            let number = name.strip_prefix('$').and_then(|number| number.parse().ok());
            if let (Some(number), "ANY" | "SOME" | "ALL") = (number, self.word(at).as_str()) {
                numbers.push(number);
                out.push_str(&self.text[from..word.start]);
                from = word.end;
            }
        }
        out.push_str(&self.text[from..]);
        (numbers, out.trim().to_owned())
    }

    /// What it asks for.
    pub(super) fn request(&self) -> Outcome<Request> {
        let Some(first) = self.tokens.first() else { return Ok(Request::Empty) };
        if first.token == Token::LParen {
            return Ok(self.query(0, "SELECT"));
        }
        let (verb, second) = (self.word(0), self.word(1));
        Ok(match verb.as_str() {
            "SELECT" | "WITH" | "VALUES" | "TABLE" | "FROM" | "PIVOT" | "UNPIVOT" | "DESCRIBE"
            | "SUMMARIZE" => self.query(0, "SELECT"),
            "EXPLAIN" => self.query(0, "EXPLAIN"),
            "BEGIN" => Request::Begin,
            "START" if second == "TRANSACTION" => Request::Begin,
            "COMMIT" | "END" if second == "PREPARED" => Request::Write("COMMIT PREPARED".into()),
            "COMMIT" | "END" => Request::Commit,
            "ROLLBACK"
                if self.tokens.iter().any(
                    |spanned| matches!(&spanned.token, Token::Word(word) if word.keyword == Keyword::TO),
                ) =>
            {
                Request::Savepoint { tag: "ROLLBACK", recovers: true }
            }
            "ROLLBACK" if second == "PREPARED" => Request::Write("ROLLBACK PREPARED".into()),
            "ROLLBACK" | "ABORT" => Request::Rollback,
            "SAVEPOINT" => Request::Savepoint { tag: "SAVEPOINT", recovers: false },
            "RELEASE" => Request::Savepoint { tag: "RELEASE", recovers: false },
            "SET" => self.set()?,
            "SHOW" if second == "ALL" && self.tokens.len() == 2 => Request::ShowAll,
            "SHOW" => Request::Show(self.setting(1)?.0),
            "RESET" if second == "ALL" => Request::ResetAll,
            "RESET" => Request::Set { name: self.setting(1)?.0, value: None, local: false },
            "DISCARD" => match second.as_str() {
                "ALL" => Request::Discard("DISCARD ALL"),
                "PLANS" => Request::Discard("DISCARD PLANS"),
                "SEQUENCES" => Request::Discard("DISCARD SEQUENCES"),
                "TEMP" | "TEMPORARY" => Request::Discard("DISCARD TEMP"),
                _ => return Err(self.syntax(1)),
            },
            "DEALLOCATE" => {
                let at = if second == "PREPARE" { 2 } else { 1 };
                let all = self.word(at) == "ALL";
                Request::Deallocate(if all {
                    None
                } else {
                    Some(self.name(at).ok_or_else(|| self.syntax(at))?)
                })
            }
            "DECLARE" => self.declare()?,
            "FETCH" | "MOVE" => self.fetch(verb == "MOVE")?,
            "CLOSE" if second == "ALL" => Request::CloseCursor(None),
            "CLOSE" => Request::CloseCursor(Some(self.name(1).ok_or_else(|| self.syntax(1))?)),
            "UNLISTEN" => Request::Unlisten,
            "COPY" => self.copy()?,
            "PREPARE" if second == "TRANSACTION" => Request::Write("PREPARE TRANSACTION".into()),
            "PREPARE" | "EXECUTE" | "LISTEN" | "NOTIFY" | "LOAD" | "CHECKPOINT" | "CALL" | "DO" => {
                Request::Unsupported(verb)
            }
            "CREATE" | "ALTER" | "DROP" | "REFRESH" | "COMMENT" | "SECURITY" | "IMPORT" => {
                Request::Write(format!("{verb} {second}").trim_end().to_owned())
            }
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" | "GRANT" | "REVOKE" | "VACUUM"
            | "ANALYZE" | "REINDEX" | "CLUSTER" | "LOCK" | "REASSIGN" | "ATTACH" | "DETACH" | "INSTALL"
            | "PRAGMA" | "EXPORT" | "USE" => Request::Write(verb),
            _ => return Err(self.syntax(0)),
        })
    }

    fn query(&self, from: usize, tag: &'static str) -> Request {
        Request::Query(Query { sql: self.text_from(from).to_owned(), tag })
    }

    /// A setting's name, dots included, and the token behind it.
    fn setting(&self, at: usize) -> Outcome<(String, usize)> {
        match (self.word(at).as_str(), self.word(at + 1).as_str(), self.word(at + 2).as_str()) {
            ("TIME", "ZONE", _) => return Ok(("timezone".into(), at + 2)),
            ("TRANSACTION", "ISOLATION", "LEVEL") => return Ok(("transaction_isolation".into(), at + 3)),
            ("SESSION", "AUTHORIZATION", _) => return Ok(("session_authorization".into(), at + 2)),
            ("SESSION", "CHARACTERISTICS", _) => return Ok(("transaction".into(), at + 2)),
            _ => {}
        }
        let mut name = self.name(at).ok_or_else(|| self.syntax(at))?;
        let mut next = at + 1;
        while self.tokens.get(next).is_some_and(|spanned| spanned.token == Token::Period) {
            name = format!("{name}.{}", self.name(next + 1).ok_or_else(|| self.syntax(next + 1))?);
            next += 2;
        }
        Ok((name, next))
    }

    fn set(&self) -> Outcome<Request> {
        let local = self.word(1) == "LOCAL";
        let characteristics = self.word(1) == "SESSION" && self.word(2) == "CHARACTERISTICS";
        let scoped =
            local || (self.word(1) == "SESSION" && !characteristics && self.word(2) != "AUTHORIZATION");
        let at = if scoped { 2 } else { 1 };
        if characteristics || self.word(at) == "TRANSACTION" {
            // READ WRITE too: a client that will write finds out when it does; many ask for the right to beforehand.
            return Ok(Request::SetTransaction);
        }
        if self.word(at) == "NAMES" {
            let value = self.values(at + 1)?;
            return Ok(Request::Set { name: "client_encoding".into(), value, local });
        }
        let (name, next) = self.setting(at)?;
        // `SET TIME ZONE 'UTC'` has nothing in between.
        let assigned = match self.tokens.get(next).map(|spanned| &spanned.token) {
            Some(Token::Eq) => next + 1,
            Some(Token::Word(word)) if word.keyword == Keyword::TO => next + 1,
            Some(_) if matches!(name.as_str(), "timezone" | "session_authorization" | "role") => next,
            _ => return Err(self.syntax(next)),
        };
        Ok(Request::Set { name, value: self.values(assigned)?, local })
    }

    /// A setting's value: words, texts and numbers, several divided by commas. `None`: DEFAULT.
    fn values(&self, from: usize) -> Outcome<Option<String>> {
        if self.word(from) == "DEFAULT" && self.tokens.len() == from + 1 {
            return Ok(None);
        }
        let mut value = String::new();
        for (index, spanned) in self.tokens.iter().enumerate().skip(from) {
            match &spanned.token {
                Token::Comma => value.push_str(", "),
                Token::Minus => value.push('-'),
                Token::Plus => {}
                Token::Number(number, _) => value.push_str(number),
                Token::SingleQuotedString(text) => value.push_str(&text.replace("''", "'")),
                Token::Word(word) => value.push_str(&word.value),
                Token::Period => value.push('.'),
                _ => return Err(self.syntax(index)),
            }
        }
        if self.tokens.len() <= from {
            return Err(self.syntax(from));
        }
        Ok(Some(value))
    }

    /// `DECLARE name [BINARY] [INSENSITIVE] [[NO] SCROLL] CURSOR [{WITH|WITHOUT} HOLD] FOR query`.
    fn declare(&self) -> Outcome<Request> {
        let name = self.name(1).ok_or_else(|| self.syntax(1))?;
        let at = (2..self.tokens.len()).find(|at| self.keyword(*at) == Keyword::FOR);
        let at = at.ok_or_else(|| self.syntax(self.tokens.len()))?;
        if (2..at).any(|at| self.word(at) == "BINARY") {
            return Ok(Request::Unsupported("a binary cursor".into()));
        }
        let holds = (3..at).any(|at| self.word(at) == "HOLD" && self.word(at - 1) == "WITH");
        let query = Query { sql: self.text_from(at + 1).to_owned(), tag: "SELECT" };
        Ok(Request::Declare { name, query, holds })
    }

    /// `FETCH [NEXT | n | ALL | FORWARD [n | ALL]] [FROM | IN] name`.
    fn fetch(&self, moves: bool) -> Outcome<Request> {
        let mut at = 1;
        let mut count = Some(1);
        if matches!(self.word(at).as_str(), "NEXT" | "FORWARD") {
            at += 1;
        }
        match &self.tokens.get(at).ok_or_else(|| self.syntax(at))?.token {
            Token::Number(number, _) => {
                count = Some(number.parse().map_err(|_| self.syntax(at))?);
                at += 1;
            }
            Token::Word(_) if self.word(at) == "ALL" => {
                count = None;
                at += 1;
            }
            Token::Word(_)
                if matches!(
                    self.word(at).as_str(),
                    "PRIOR" | "FIRST" | "LAST" | "ABSOLUTE" | "RELATIVE" | "BACKWARD"
                ) =>
            {
                return Ok(Request::Unsupported("a cursor that goes anywhere but forward".into()));
            }
            _ => {}
        }
        if matches!(self.word(at).as_str(), "FROM" | "IN") {
            at += 1;
        }
        Ok(Request::Fetch { name: self.name(at).ok_or_else(|| self.syntax(at))?, count, moves })
    }

    /// `COPY {table [(columns)] | (query)} TO STDOUT [[WITH] (options)]`, and the options of before version 9.
    fn copy(&self) -> Outcome<Request> {
        let mut depth = 0usize;
        let end = (1..self.tokens.len()).find(|at| {
            match self.tokens[*at].token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(self.word(*at).as_str(), "TO" | "FROM")
        });
        let end = end.ok_or_else(|| self.syntax(self.tokens.len()))?;
        if self.word(end) == "FROM" {
            return Ok(Request::Write("COPY FROM".into()));
        }
        if self.word(end + 1) != "STDOUT" {
            return Ok(Request::Unsupported(
                "COPY to a file or program of the server; use \\copy or STDOUT, it".into(),
            ));
        }
        let source = self.text[self.tokens[1].start..self.tokens[end].start].trim();
        let query = if self.tokens[1].token == Token::LParen {
            let inner = source.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            inner.ok_or_else(|| self.syntax(1))?.trim().to_owned()
        } else {
            let columns = (1..end).find(|at| self.tokens[*at].token == Token::LParen);
            match columns {
                None => format!("SELECT * FROM {source}"),
                Some(at) => {
                    let (table, columns) = source.split_at(self.tokens[at].start - self.tokens[1].start);
                    let columns = columns.trim().trim_start_matches('(').trim_end_matches(')');
                    format!("SELECT {columns} FROM {table}")
                }
            }
        };
        Ok(Request::Copy {
            query,
            options: CopyOptions::parse(self.tokens.get(end + 2..).unwrap_or_default())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        let statements = split(text).unwrap();
        assert_eq!(statements.len(), 1, "{text}");
        statements[0].request().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn statements_end_at_semicolons_that_are_none_of_a_text() {
        let text = "SELECT ';', \"a;b\" -- c;\n; /* ; */ SELECT $tag$;$tag$, 'ü;'; ;";
        let texts: Vec<_> = split(text).unwrap().iter().map(|statement| statement.text.trim()).collect();
        assert_eq!(texts, ["SELECT ';', \"a;b\" -- c;", "/* ; */ SELECT $tag$;$tag$, 'ü;'", ""]);
        assert_eq!(split("  ").unwrap()[0].request().unwrap(), Request::Empty);
        assert!(split("SELECT 'open").is_err());
    }

    #[test]
    fn parameters_are_cast_where_they_stand() {
        let statements = split("SELECT 'ü $1', $1, $2 + $10 -- $3").unwrap();
        assert_eq!(statements[0].parameters().unwrap(), 10);
        let cast = |number| (number != 2).then(|| format!("T{number}"));
        assert_eq!(statements[0].with_casts(cast), "SELECT 'ü $1', ($1::T1), $2 + ($10::T10) -- $3");
        assert!(split("SELECT $0").unwrap()[0].parameters().is_err());
        let statements = split("SELECT 1 WHERE a = ANY ($2) AND b = ANY(ARRAY[$1])").unwrap();
        let expected = (vec![2], "SELECT 1 WHERE a =  ($2) AND b = ANY(ARRAY[$1])".to_owned());
        assert_eq!(statements[0].any_parameters(), expected);
    }

    #[test]
    fn statements_are_told_apart_by_their_words() {
        let set = |name: &str, value: Option<&str>| Request::Set {
            name: name.into(),
            value: value.map(Into::into),
            local: false,
        };
        assert_eq!(request("SET application_name = 'a''b'"), set("application_name", Some("a'b")));
        assert_eq!(request("set search_path to a, \"B\""), set("search_path", Some("a, B")));
        assert_eq!(request("SET millstream.as_of = '0/1'"), set("millstream.as_of", Some("0/1")));
        assert_eq!(request("SET TIME ZONE 'UTC'"), set("timezone", Some("UTC")));
        assert_eq!(request("SET extra_float_digits = -3"), set("extra_float_digits", Some("-3")));
        assert_eq!(request("RESET DateStyle"), set("datestyle", None));
        assert_eq!(request("SET x TO DEFAULT"), set("x", None));
        assert_eq!(
            request("SHOW TRANSACTION ISOLATION LEVEL"),
            Request::Show("transaction_isolation".into())
        );
        assert_eq!(request("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), Request::SetTransaction);
        assert_eq!(request("START TRANSACTION READ ONLY"), Request::Begin);
        assert_eq!(
            request("ROLLBACK TO SAVEPOINT a"),
            Request::Savepoint { tag: "ROLLBACK", recovers: true }
        );
        assert_eq!(request("create temp table a (b int)"), Request::Write("CREATE TEMP".into()));
        let fetch = |count| Request::Fetch { name: "c".into(), count, moves: false };
        assert_eq!(request("FETCH FORWARD 10 FROM c"), fetch(Some(10)));
        assert_eq!(request("FETCH ALL IN \"c\""), fetch(None));
        assert_eq!(request("FETCH c"), fetch(Some(1)));
        let Request::Declare { query, .. } = request("DECLARE c NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1")
        else {
            panic!("not a DECLARE")
        };
        assert_eq!(query.sql, "SELECT 1");
        for (copy, query) in [
            ("COPY (SELECT (1) FROM a) TO STDOUT", "SELECT (1) FROM a"),
            ("COPY s.\"T\" TO STDOUT WITH CSV HEADER", "SELECT * FROM s.\"T\""),
            ("COPY t (a, \"B\") TO STDOUT (FORMAT csv)", "SELECT a, \"B\" FROM t "),
        ] {
            assert!(matches!(request(copy), Request::Copy { query: found, .. } if found == query), "{copy}");
        }
        assert!(split("FROBNICATE").unwrap()[0].request().is_err());
    }
}
