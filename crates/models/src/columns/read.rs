//! From a text to a tree. What DuckDB's grammar has and the parser's has not is taken out of the words first, or put otherwise, where that changes no column.

use sqlparser::{
    ast::{Query, Statement},
    dialect::{DuckDbDialect, GenericDialect, PostgreSqlDialect},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, Tokenizer, Word},
};

use super::Dialect;

/// How many words a query may have: the tree is as deep as its longest chain of operators.
const WORDS_MAX: usize = 200_000;

/// How deep parentheses, brackets and `case` may nest, in the parser's count.
const DEPTH_MAX: usize = 200;

/// How many parentheses may open a thing that is read from: the parser tries each as a query and as a join, so that each doubles its work.
const JOIN_DEPTH_MAX: usize = 8;

/// The function that a list comprehension is put as: the list, what is made of each element, and the condition.
pub(super) const COMPREHENSION: &str = "list_comprehension";

/// Reads a text that is one query.
///
/// Errors: why it is not.
pub(super) fn query(sql: &str, dialect: Dialect) -> Result<Query, String> {
    let tokens = match dialect {
        Dialect::DuckDb => Tokenizer::new(&DuckDbDialect, sql).tokenize(),
        Dialect::Postgres => Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize(),
    };
    let mut tokens = tokens.map_err(|error| format!("its text can't be read: {error}"))?;
    tokens.retain(|token| !matches!(token, Token::Whitespace(_)));
    while matches!(tokens.last(), Some(Token::SemiColon | Token::EOF)) {
        tokens.pop();
    }
    if tokens.len() > WORDS_MAX {
        return Err(format!("it has more than {WORDS_MAX} words"));
    }
    if joins_deep(&tokens) > JOIN_DEPTH_MAX {
        return Err(format!("more than {JOIN_DEPTH_MAX} parentheses open what is read from"));
    }
    let statements = match dialect {
        Dialect::Postgres => parsed(&PostgreSqlDialect {}, tokens),
        // What DuckDB has from elsewhere, such as `* rename`, the generic dialect knows.
        Dialect::DuckDb => {
            let tokens = plain(tokens);
            parsed(&DuckDbDialect, tokens.clone())
                .or_else(|error| parsed(&GenericDialect {}, tokens).map_err(|_| error))
        }
    };
    let mut statements = statements?;
    match (statements.pop(), statements.is_empty()) {
        (Some(Statement::Query(query)), true) => Ok(*query),
        (Some(_), true) => Err("it is no query".into()),
        _ => Err("it is not one statement".into()),
    }
}

fn parsed(dialect: &dyn sqlparser::dialect::Dialect, tokens: Vec<Token>) -> Result<Vec<Statement>, String> {
    let mut parser = Parser::new(dialect).with_tokens(tokens).with_recursion_limit(DEPTH_MAX);
    parser.parse_statements().map_err(|error| {
        let error = error.to_string();
        let reason = error.strip_prefix("sql parser error: ").unwrap_or(&error);
        // Words that were read without their places have none to tell.
        let reason = reason.split(" at Line: ").next().unwrap_or(reason);
        format!("its syntax is not known: {reason}")
    })
}

fn keyword(token: Option<&Token>) -> Keyword {
    match token {
        Some(Token::Word(Word { keyword, quote_style: None, .. })) => *keyword,
        _ => Keyword::NoKeyword,
    }
}

fn is_word(token: Option<&Token>, word: &str) -> bool {
    matches!(token, Some(Token::Word(Word { value, quote_style: None, .. })) if value.eq_ignore_ascii_case(word))
}

fn word(text: &str) -> Token {
    Token::make_word(text, None)
}

/// The most parentheses in a row behind what begins something that is read from.
fn joins_deep(tokens: &[Token]) -> usize {
    let begins = |token: &Token| {
        matches!(token, Token::Comma)
            || matches!(keyword(Some(token)), Keyword::FROM | Keyword::JOIN | Keyword::LATERAL)
    };
    let (mut most, mut depth) = (0, None);
    for token in tokens {
        depth = match (token, depth) {
            (Token::LParen, Some(depth)) => Some(depth + 1),
            (token, _) if begins(token) => Some(0),
            _ => None,
        };
        most = most.max(depth.unwrap_or(0));
    }
    most
}

/// DuckDB's words without those that the parser stumbles over and that change no column.
fn plain(tokens: Vec<Token>) -> Vec<Token> {
    let tokens = named_behind(comprehensions(tokens));
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let next = |ahead: usize| tokens.get(at + ahead);
        let joins = |token: Option<&Token>| {
            matches!(
                keyword(token),
                Keyword::JOIN | Keyword::LEFT | Keyword::RIGHT | Keyword::FULL | Keyword::INNER
            )
        };
        let passed = match keyword(next(0)) {
            // `with a as materialized (…)`
            Keyword::AS if is_word(next(1), "materialized") && next(2) == Some(&Token::LParen) => {
                out.push(tokens[at].clone());
                2
            }
            Keyword::AS
                if keyword(next(1)) == Keyword::NOT
                    && is_word(next(2), "materialized")
                    && next(3) == Some(&Token::LParen) =>
            {
                out.push(tokens[at].clone());
                3
            }
            // `sum(x ignore nulls)`
            Keyword::IGNORE | Keyword::RESPECT if keyword(next(1)) == Keyword::NULLS => 2,
            // The end of a window's frame.
            Keyword::EXCLUDE if keyword(next(1)) == Keyword::CURRENT && keyword(next(2)) == Keyword::ROW => 3,
            Keyword::EXCLUDE if keyword(next(1)) == Keyword::NO && is_word(next(2), "others") => 3,
            Keyword::EXCLUDE
                if (keyword(next(1)) == Keyword::GROUP || keyword(next(1)) == Keyword::TIES)
                    && next(2) == Some(&Token::RParen) =>
            {
                2
            }
            // Joins that differ from others in which rows meet.
            Keyword::ASOF if joins(next(1)) => 1,
            _ if is_word(next(0), "positional") && keyword(next(1)) == Keyword::JOIN => {
                out.push(word("cross"));
                1
            }
            _ if is_word(next(0), "glob") && matches!(next(1), Some(Token::SingleQuotedString(_))) => {
                out.push(word("like"));
                1
            }
            Keyword::USING if keyword(next(1)) == Keyword::SAMPLE => sample(&tokens[at..]),
            Keyword::TABLESAMPLE => sample(&tokens[at..]),
            // `limit 10%`
            Keyword::LIMIT if matches!(next(1), Some(Token::Number(..))) && next(2) == Some(&Token::Mod) => {
                out.extend([tokens[at].clone(), tokens[at + 1].clone()]);
                3
            }
            // The power.
            _ if next(0) == Some(&Token::Mul) && next(1) == Some(&Token::Mul) => {
                out.push(Token::Mul);
                2
            }
            _ => 0,
        };
        if passed == 0 {
            out.push(tokens[at].clone());
        }
        at += passed.max(1);
    }
    out
}

/// How many words a sample clause has: which rows are there by chance is no column's doing.
fn sample(tokens: &[Token]) -> usize {
    let mut at = if keyword(tokens.first()) == Keyword::USING { 2 } else { 1 };
    if matches!(tokens.get(at), Some(Token::Word(_))) && tokens.get(at + 1) == Some(&Token::LParen) {
        at += 1;
    }
    if tokens.get(at) == Some(&Token::LParen) {
        at = closing(tokens, at).map_or(tokens.len(), |end| end + 1);
    } else {
        at += 1;
        let unit = tokens.get(at);
        if unit == Some(&Token::Mod) || is_word(unit, "rows") || is_word(unit, "percent") {
            at += 1;
        }
        if tokens.get(at) == Some(&Token::LParen) {
            at = closing(tokens, at).map_or(tokens.len(), |end| end + 1);
        }
    }
    if is_word(tokens.get(at), "repeatable") && tokens.get(at + 1) == Some(&Token::LParen) {
        at = closing(tokens, at + 1).map_or(tokens.len(), |end| end + 1);
    }
    at
}

/// Where what opens at `open` closes.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// `[x + 1 for x in l if x > 2]` as `list_comprehension(l, lambda x: x + 1, lambda x: x > 2)`. Innermost first, each with one pass over the words.
fn comprehensions(mut tokens: Vec<Token>) -> Vec<Token> {
    // Each comprehension has a bracket, and so the loop ends; few queries have any.
    while let Some((open, parts)) = comprehension(&tokens) {
        let Comprehension { end, at_for, at_in, at_if } = parts;
        let body = tokens[open + 1..at_for].to_vec();
        let names = tokens[at_for + 1..at_in].to_vec();
        let list = tokens[at_in + 1..at_if.unwrap_or(end)].to_vec();
        let mut put = vec![word(COMPREHENSION), Token::LParen];
        put.extend(list);
        let lambda = |put: &mut Vec<Token>, body: Vec<Token>| {
            put.extend([Token::Comma, word("lambda")]);
            put.extend(names.clone());
            put.extend([Token::Colon, Token::LParen]);
            put.extend(body);
            put.push(Token::RParen);
        };
        lambda(&mut put, body);
        if let Some(at_if) = at_if {
            lambda(&mut put, tokens[at_if + 1..end].to_vec());
        }
        put.push(Token::RParen);
        tokens.splice(open..=end, put);
    }
    tokens
}

/// The places of a comprehension's words.
struct Comprehension {
    end: usize,
    at_for: usize,
    at_in: usize,
    at_if: Option<usize>,
}

/// The first bracket that closes and is a comprehension.
fn comprehension(tokens: &[Token]) -> Option<(usize, Comprehension)> {
    // Of each bracket that is open: where, and its `for`, `in` and `if`.
    let mut open: Vec<(usize, [Option<usize>; 3])> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::LBracket | Token::LParen | Token::LBrace => open.push((at, [None; 3])),
            Token::RBracket | Token::RParen | Token::RBrace => {
                let Some((begin, [at_for, at_in, at_if])) = open.pop() else { continue };
                if let (Token::RBracket, Some(at_for), Some(at_in)) = (token, at_for, at_in) {
                    let parts = Comprehension { end: at, at_for, at_in, at_if };
                    return Some((begin, parts));
                }
            }
            _ => {
                let Some((begin, places)) = open.last_mut() else { continue };
                if tokens[*begin] != Token::LBracket {
                    continue;
                }
                let place = match (keyword(Some(token)), &*places) {
                    (Keyword::FOR, [None, ..]) => 0,
                    (Keyword::IN, [Some(_), None, _]) => 1,
                    (Keyword::IF, [_, Some(_), None]) => 2,
                    _ => continue,
                };
                places[place] = Some(at);
            }
        }
    }
    None
}

/// `select total: a + b` as `select a + b as total`.
fn named_behind(tokens: Vec<Token>) -> Vec<Token> {
    let ends_column = |token: &Token, before: Option<&Token>| match token {
        Token::Comma => true,
        _ => match keyword(Some(token)) {
            // `is distinct from`
            Keyword::FROM => keyword(before) != Keyword::DISTINCT,
            keyword => ENDS_COLUMNS.contains(&keyword),
        },
    };
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    // Of each parenthesis that is open: whether a query is in it, and the name that waits for the end of its column.
    let mut levels: Vec<(bool, Option<Token>)> = vec![(true, None)];
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                let begins = keyword(tokens.get(at + 1));
                let is_query = *token == Token::LParen
                    && matches!(begins, Keyword::SELECT | Keyword::WITH | Keyword::FROM);
                levels.push((is_query, None));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if let Some((_, Some(name))) = levels.pop() {
                    out.extend([word("as"), name]);
                }
            }
            Token::Colon if matches!(levels.last(), Some((true, None))) => {
                let begins = match out.len().checked_sub(2).map(|before| &out[before]) {
                    Some(Token::Comma) => true,
                    before => matches!(keyword(before), Keyword::SELECT | Keyword::DISTINCT | Keyword::ALL),
                };
                if let (true, Some(Token::Word(_)), Some((_, waiting))) =
                    (begins, out.last(), levels.last_mut())
                {
                    *waiting = out.pop();
                    continue;
                }
            }
            token if ends_column(token, at.checked_sub(1).map(|before| &tokens[before])) => {
                if let Some(name) = levels.last_mut().and_then(|(_, waiting)| waiting.take()) {
                    out.extend([word("as"), name]);
                }
            }
            _ => {}
        }
        out.push(token.clone());
    }
    if let Some(name) = levels.pop().and_then(|(_, waiting)| waiting) {
        out.extend([word("as"), name]);
    }
    out
}

/// Words that stand behind the columns of a `select`; `from` is another.
const ENDS_COLUMNS: &[Keyword] = &[
    Keyword::EXCEPT,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::INTERSECT,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::ORDER,
    Keyword::QUALIFY,
    Keyword::UNION,
    Keyword::WHERE,
    Keyword::WINDOW,
];
