//! `COPY … TO STDOUT`: a result's rows in COPY's text, CSV and binary forms (PostgreSQL's chapter on COPY, "File Formats").

use arrow_array::RecordBatch;
use bytes::{BufMut, BytesMut};
use sqlparser::tokenizer::Token;

use super::{
    error::{Outcome, WireError},
    rows::{self, Column, Formats},
    statement::Spanned,
};

/// What a binary copy begins with: its signature, no flags, no extension.
const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with, in place of a row's number of fields.
const BINARY_TAIL: [u8; 2] = (-1i16).to_be_bytes();

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyFormat {
    Text,
    Csv,
    Binary,
}

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyOptions {
    pub(super) format: CopyFormat,
    delimiter: char,
    null: String,
    header: bool,
    quote: char,
    escape: char,
    /// Columns whose values are always quoted; `None`: all.
    force_quote: Option<Vec<String>>,
}

/// What was said; what was not follows from the format.
#[derive(Default)]
struct Said {
    format: Option<CopyFormat>,
    delimiter: Option<char>,
    null: Option<String>,
    header: bool,
    quote: Option<char>,
    escape: Option<char>,
    force_quote: Option<Option<Vec<String>>>,
}

impl CopyOptions {
    /// From what stands behind STDOUT: `[WITH] (FORMAT csv, HEADER, …)`, or the words of before version 9 (`WITH CSV HEADER`).
    pub(super) fn parse(tokens: &[Spanned]) -> Outcome<Self> {
        let mut said = Said::default();
        let mut at = 0;
        let word = |at: usize| match tokens.get(at).map(|spanned| &spanned.token) {
            Some(Token::Word(word)) => word.value.to_ascii_lowercase(),
            _ => String::new(),
        };
        while at < tokens.len() {
            let option = word(at);
            at += 1;
            match option.as_str() {
                // `WITH`, `AS`, brackets and commas only divide.
                "with" | "as" | "" => match tokens[at - 1].token {
                    Token::LParen | Token::RParen | Token::Comma | Token::Word(_) => {}
                    _ => return Err(WireError::Syntax { what: "in the options of COPY".into() }),
                },
                "format" => {
                    said.format = Some(match text_at(tokens, at)?.to_ascii_lowercase().as_str() {
                        "text" => CopyFormat::Text,
                        "csv" => CopyFormat::Csv,
                        "binary" => CopyFormat::Binary,
                        other => {
                            return Err(WireError::unsupported(format!("COPY format \"{other}\"")));
                        }
                    });
                    at += 1;
                }
                "csv" => said.format = Some(CopyFormat::Csv),
                "binary" => said.format = Some(CopyFormat::Binary),
                "header" => {
                    said.header = match word(at).as_str() {
                        "false" | "off" => false,
                        _ => {
                            !matches!(tokens.get(at).map(|spanned| &spanned.token), Some(Token::Number(number, _)) if number == "0")
                        }
                    };
                    let has_value = matches!(word(at).as_str(), "true" | "false" | "on" | "off" | "match")
                        || matches!(tokens.get(at).map(|spanned| &spanned.token), Some(Token::Number(..)));
                    at += usize::from(has_value);
                }
                "delimiter" | "delimiters" | "null" | "quote" | "escape" | "encoding" => {
                    // `DELIMITER AS ';'`
                    at += usize::from(word(at) == "as");
                    let value = text_at(tokens, at)?;
                    at += 1;
                    let single = || {
                        let mut characters = value.chars();
                        match (characters.next(), characters.next()) {
                            (Some(one), None) if one.is_ascii() => Ok(one),
                            _ => Err(WireError::Syntax {
                                what: format!("COPY {option} must be a single one-byte character"),
                            }),
                        }
                    };
                    match option.as_str() {
                        "null" => said.null = Some(value),
                        "quote" => said.quote = Some(single()?),
                        "escape" => said.escape = Some(single()?),
                        "encoding" if !is_utf8(&value) => {
                            return Err(WireError::unsupported(format!("encoding \"{value}\"")));
                        }
                        "encoding" => {}
                        _ => said.delimiter = Some(single()?),
                    }
                }
                "force_quote" | "force" => {
                    at += usize::from(word(at) == "quote");
                    let mut columns = Vec::new();
                    let mut all = false;
                    loop {
                        match tokens.get(at).map(|spanned| &spanned.token) {
                            Some(Token::Mul) => all = true,
                            Some(Token::Word(word)) => columns.push(word.value.clone()),
                            Some(Token::LParen | Token::Comma) => {}
                            _ => break,
                        }
                        at += 1;
                    }
                    said.force_quote = Some((!all).then_some(columns));
                }
                other => return Err(WireError::unsupported(format!("COPY option \"{other}\""))),
            }
        }
        let format = said.format.unwrap_or(CopyFormat::Text);
        let csv = format == CopyFormat::Csv;
        let quote = said.quote.unwrap_or('"');
        Ok(CopyOptions {
            format,
            delimiter: said.delimiter.unwrap_or(if csv { ',' } else { '\t' }),
            null: said.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".into() }),
            header: said.header,
            quote,
            escape: said.escape.unwrap_or(quote),
            force_quote: said.force_quote.unwrap_or(Some(Vec::new())),
        })
    }

    /// What stands before the rows.
    pub(super) fn head(&self, columns: &[Column], out: &mut BytesMut) {
        match self.format {
            // It stands in the first message, before its row: clients expect it there.
            CopyFormat::Binary => {}
            _ if self.header => {
                let mut line = String::new();
                for (index, column) in columns.iter().enumerate() {
                    if index > 0 {
                        line.push(self.delimiter);
                    }
                    self.field(Some(&column.name), false, columns.len() == 1, &mut line);
                }
                line.push('\n');
                put(out, line.as_bytes());
            }
            _ => {}
        }
    }

    /// What stands behind the rows, of which there may have been none.
    pub(super) fn tail(&self, rows: usize, out: &mut BytesMut) {
        match (self.format, rows) {
            (CopyFormat::Binary, 0) => put(out, &[BINARY_HEAD, &BINARY_TAIL].concat()),
            (CopyFormat::Binary, _) => put(out, &BINARY_TAIL),
            _ => {}
        }
    }

    /// Appends a row as a CopyData message.
    pub(super) fn row(
        &self,
        first: bool,
        columns: &[Column],
        batch: &RecordBatch,
        row: usize,
        out: &mut BytesMut,
        scratch: &mut String,
    ) -> Outcome<()> {
        if self.format == CopyFormat::Binary {
            // A row of binary COPY is what a DataRow holds; only the message's letter differs.
            let at = out.len();
            let all_binary = Formats::new(vec![1])?;
            rows::write_row(out, columns, &all_binary, batch, row, scratch)?;
            out[at] = b'd';
            if first {
                let body = out.split_off(at + 5);
                out.put_slice(BINARY_HEAD);
                out.put_slice(&body);
                let length = (out.len() - at - 1) as u32;
                out[at + 1..at + 5].copy_from_slice(&length.to_be_bytes());
            }
            return Ok(());
        }
        let mut line = String::new();
        for (index, (column, array)) in columns.iter().zip(batch.columns()).enumerate() {
            if index > 0 {
                line.push(self.delimiter);
            }
            let value = if rows::is_null(array, row) {
                None
            } else {
                rows::text(&column.kind, array, row, batch.schema_ref().field(index), scratch)
                    .map_err(|why| WireError::Value { column: column.name.clone(), why })?;
                Some(scratch.as_str())
            };
            let forced = self.force_quote.as_ref().is_none_or(|columns| columns.contains(&column.name));
            self.field(value, forced, columns.len() == 1, &mut line);
        }
        line.push('\n');
        put(out, line.as_bytes());
        Ok(())
    }

    fn field(&self, value: Option<&str>, forced: bool, alone: bool, line: &mut String) {
        let Some(value) = value else {
            line.push_str(&self.null);
            return;
        };
        if self.format == CopyFormat::Text {
            for character in value.chars() {
                match character {
                    '\u{8}' => line.push_str("\\b"),
                    '\u{c}' => line.push_str("\\f"),
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    '\t' => line.push_str("\\t"),
                    '\u{b}' => line.push_str("\\v"),
                    '\\' => line.push_str("\\\\"),
                    other => {
                        if other == self.delimiter {
                            line.push('\\');
                        }
                        line.push(other);
                    }
                }
            }
            return;
        }
        // What would read as NULL, or end the data, is quoted.
        let quoted = forced
            || value == self.null
            || (alone && value == "\\.")
            || value.chars().any(|c| c == self.delimiter || c == self.quote || matches!(c, '\n' | '\r'));
        if !quoted {
            line.push_str(value);
            return;
        }
        line.push(self.quote);
        for character in value.chars() {
            if character == self.quote || character == self.escape {
                line.push(self.escape);
            }
            line.push(character);
        }
        line.push(self.quote);
    }
}

/// Whether it names UTF-8, as PostgreSQL spells it in one way or another.
pub(super) fn is_utf8(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    ["utf8", "unicode", "sqlascii"].contains(&name.to_ascii_lowercase().as_str())
}

fn text_at(tokens: &[Spanned], at: usize) -> Outcome<String> {
    match tokens.get(at).map(|spanned| &spanned.token) {
        Some(Token::SingleQuotedString(text)) => Ok(text.replace("''", "'")),
        Some(Token::EscapedStringLiteral(text)) => Ok(text.replace("\\t", "\t")),
        Some(Token::Word(word)) => Ok(word.value.clone()),
        _ => Err(WireError::Syntax { what: "an option of COPY has no value".into() }),
    }
}

/// Appends a CopyData message.
fn put(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u8(b'd');
    out.put_u32(bytes.len() as u32 + 4);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, StringArray};

    use super::{super::statement, *};

    fn lines(options: &str) -> String {
        let text = format!("COPY t TO STDOUT {options}");
        let statements = statement::split(&text).unwrap();
        let statement::Request::Copy { options, .. } = statements[0].request().unwrap() else {
            panic!("no COPY")
        };
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef),
            ("t", Arc::new(StringArray::from(vec!["a,\"b\"\n\t\\", ""]))),
        ])
        .unwrap();
        let columns = [Column::new("n", "INTEGER"), Column::new("t", "VARCHAR")];
        let mut out = BytesMut::new();
        options.head(&columns, &mut out);
        for row in 0..2 {
            options.row(row == 0, &columns, &batch, row, &mut out, &mut String::new()).unwrap();
        }
        options.tail(2, &mut out);
        let (mut text, mut rest) = (String::new(), &out[..]);
        while !rest.is_empty() {
            assert_eq!(rest[0], b'd');
            let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
            text.push_str(&String::from_utf8_lossy(&rest[5..length + 1]));
            rest = &rest[length + 1..];
        }
        text
    }

    #[test]
    fn rows_are_written_as_the_options_say() {
        assert_eq!(lines(""), "1\ta,\"b\"\\n\\t\\\\\n\\N\t\n");
        assert_eq!(lines("WITH CSV HEADER"), "n,t\n1,\"a,\"\"b\"\"\n\t\\\"\n,\"\"\n");
        assert_eq!(
            lines("(FORMAT csv, DELIMITER ';', NULL 'nil', FORCE_QUOTE (n))"),
            "\"1\";\"a,\"\"b\"\"\n\t\\\"\nnil;\n"
        );
        assert!(lines("(FORMAT binary)").starts_with("PGCOPY\n"));
    }

    #[test]
    fn options_that_are_not_known_are_refused() {
        for wrong in ["(FORMAT parquet)", "(DELIMITER 'ab')", "(ENCODING 'latin1')", "(FROBNICATE)", "(NULL)"]
        {
            let text = format!("COPY t TO STDOUT {wrong}");
            assert!(statement::split(&text).unwrap()[0].request().is_err(), "{wrong}");
        }
    }
}
