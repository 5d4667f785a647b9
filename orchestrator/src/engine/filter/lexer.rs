//! From characters to words.

use std::fmt;

use super::Invalid;
use super::expression::Operator;

/// Units of durations and their lengths in milliseconds, the longer names first.
const UNITS: [(&str, i64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// A word of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, a key word, or a text without quotes.
    Word {
        text: String,
        is_prefix: bool,
    },
    Text {
        text: String,
        is_prefix: bool,
    },
    /// Without its sign.
    Integer(u64),
    /// In milliseconds, without its sign.
    Duration(i64),
    Compare(Operator),
    Open,
    Close,
    Star,
    Minus,
    Plus,
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word { text, .. } => formatter.write_str(text),
            Token::Text { .. } => formatter.write_str("a text in quotes"),
            Token::Integer(integer) => write!(formatter, "{integer}"),
            Token::Duration(_) => formatter.write_str("a duration"),
            Token::Compare(operator) => operator.fmt(formatter),
            Token::Open => formatter.write_str("("),
            Token::Close => formatter.write_str(")"),
            Token::Star => formatter.write_str("*"),
            Token::Minus => formatter.write_str("-"),
            Token::Plus => formatter.write_str("+"),
            Token::End => formatter.write_str("the end"),
        }
    }
}

/// An error at a place that is given in bytes.
pub(super) fn invalid(text: &str, at: usize, problem: impl Into<String>) -> Invalid {
    let before = text.get(..at).unwrap_or(text);
    Invalid { at: before.chars().count() + 1, problem: problem.into() }
}

/// Takes the words of a text one by one.
pub(super) struct Lexer<'a> {
    pub text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The next word, and where it begins.
    pub fn next(&mut self) -> Result<(usize, Token), Invalid> {
        let blank = self.rest().len() - self.rest().trim_start().len();
        self.at += blank;
        let at = self.at;
        let Some(first) = self.peek() else { return Ok((at, Token::End)) };
        let token = match first {
            '"' | '\'' => self.text_in_quotes(first)?,
            '0'..='9' => self.number()?,
            letter if letter.is_ascii_alphabetic() || letter == '_' => self.word(),
            _ => self.sign()?,
        };
        Ok((at, token))
    }

    fn sign(&mut self) -> Result<Token, Invalid> {
        const SIGNS: [(&str, Token); 12] = [
            ("!=", Token::Compare(Operator::Unequal)),
            ("<=", Token::Compare(Operator::LessOrEqual)),
            (">=", Token::Compare(Operator::GreaterOrEqual)),
            ("=", Token::Compare(Operator::Equal)),
            ("<", Token::Compare(Operator::Less)),
            (">", Token::Compare(Operator::Greater)),
            (":", Token::Compare(Operator::Has)),
            ("(", Token::Open),
            (")", Token::Close),
            ("*", Token::Star),
            ("-", Token::Minus),
            ("+", Token::Plus),
        ];
        let rest = self.rest();
        match SIGNS.into_iter().find(|(sign, _)| rest.starts_with(sign)) {
            Some((sign, token)) => {
                self.at += sign.len();
                Ok(token)
            }
            None => {
                let found = self.peek().unwrap_or(' ');
                Err(invalid(self.text, self.at, format!("{found:?} has no meaning here")))
            }
        }
    }

    fn word(&mut self) -> Token {
        let is_inner = |letter: char| letter.is_ascii_alphanumeric() || "_./".contains(letter);
        let rest = self.rest();
        let end = rest.find(|letter| !is_inner(letter)).unwrap_or(rest.len());
        self.at += end;
        let is_prefix = self.peek() == Some('*');
        self.at += usize::from(is_prefix);
        Token::Word { text: rest[..end].to_owned(), is_prefix }
    }

    fn text_in_quotes(&mut self, quote: char) -> Result<Token, Invalid> {
        let begin = self.at;
        let mut text = String::new();
        let mut star_at = None;
        let mut letters = self.rest().char_indices().skip(1);
        while let Some((offset, letter)) = letters.next() {
            let at = begin + offset;
            if letter == quote {
                self.at = at + letter.len_utf8();
                return Ok(Token::Text { text, is_prefix: star_at.is_some() });
            }
            if let Some(star_at) = star_at {
                let problem = "a * may only be the last character; \\* means the character itself";
                return Err(invalid(self.text, star_at, problem));
            }
            match letter {
                '*' => star_at = Some(at),
                '\\' => match letters.next() {
                    Some((_, escaped @ ('"' | '\'' | '\\' | '*'))) => text.push(escaped),
                    _ => {
                        let problem = "behind \\ only \", ', \\ and * may stand";
                        return Err(invalid(self.text, at, problem));
                    }
                },
                letter => text.push(letter),
            }
        }
        Err(invalid(self.text, begin, "the text that begins here has no closing quote"))
    }

    /// A whole number, or a duration such as `1h30m`.
    fn number(&mut self) -> Result<Token, Invalid> {
        let begin = self.at;
        let first = self.digits()?;
        if !self.peek().is_some_and(|letter| letter.is_ascii_alphanumeric()) {
            if self.rest().starts_with('-')
                && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())
            {
                let problem = "a time is written in quotes, as in \"2026-11-01T00:00:00Z\"";
                return Err(invalid(self.text, begin, problem));
            }
            return Ok(Token::Integer(first));
        }
        let mut total_ms: i64 = 0;
        let mut amount = first;
        loop {
            let (name, unit_ms) = self.unit()?;
            let part_ms = i64::try_from(amount).ok().and_then(|many| many.checked_mul(unit_ms));
            let sum_ms = part_ms.and_then(|part_ms| total_ms.checked_add(part_ms));
            total_ms = sum_ms
                .ok_or_else(|| invalid(self.text, begin, format!("{amount}{name} is too long")))?;
            if !self.peek().is_some_and(|letter| letter.is_ascii_digit()) {
                return Ok(Token::Duration(total_ms));
            }
            amount = self.digits()?;
        }
    }

    fn digits(&mut self) -> Result<u64, Invalid> {
        let begin = self.at;
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        self.at += end;
        rest[..end].parse().map_err(|_| invalid(self.text, begin, "the number is too large"))
    }

    fn unit(&mut self) -> Result<(&'static str, i64), Invalid> {
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = UNITS.into_iter().find(|(name, _)| *name == &rest[..end]);
        let unit = unit.ok_or_else(|| {
            let problem = "a number may be followed by ms, s, m, h, d or w, and nothing else";
            invalid(self.text, self.at, problem)
        })?;
        self.at += end;
        Ok(unit)
    }
}
