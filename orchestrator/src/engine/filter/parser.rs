//! From words to an expression, by recursive descent.
//!
//! ```text
//! filter     = [ several ]
//! several    = one { "AND" one } | one { "OR" one }      (both only with parentheses)
//! one        = "NOT" one | "(" several ")" | comparison
//! comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value | field ":" "*"
//! value      = text | word | [ "-" ] integer | "true" | "false" | [ "now" ] [ ( "-" | "+" ) duration ]
//! ```

use super::Invalid;
use super::expression::{Comparison, Expression, Literal, Operator, Position};
use super::lexer::{Lexer, Token, invalid};
use crate::engine::limits::{MAX_FILTER_BYTES, MAX_FILTER_COMPARISONS, MAX_FILTER_DEPTH};

/// Reads what a filter says; nothing if the text is blank.
///
/// # Errors
/// The first thing that is wrong with the text's form.
pub fn parse(text: &str) -> Result<Option<Expression>, Invalid> {
    if text.len() > MAX_FILTER_BYTES {
        let problem = format!("the filter has {} bytes, at most {MAX_FILTER_BYTES}", text.len());
        return Err(Invalid { at: 1, problem });
    }
    let mut parser = Parser::new(text)?;
    if parser.token == Token::End {
        return Ok(None);
    }
    let expression = parser.several(0)?;
    match parser.token {
        Token::End => Ok(Some(expression)),
        _ => Err(parser.expected("AND, OR or the end")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The word that comes next, and where it begins.
    token: Token,
    at: usize,
    comparisons: usize,
}

/// What binds expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connector {
    And,
    Or,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Parser<'a>, Invalid> {
        let mut lexer = Lexer::new(text);
        let (at, token) = lexer.next()?;
        Ok(Parser { lexer, token, at, comparisons: 0 })
    }

    /// Goes to the next word, and returns the one before.
    fn take(&mut self) -> Result<Token, Invalid> {
        let (at, token) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn invalid(&self, problem: impl Into<String>) -> Invalid {
        invalid(self.lexer.text, self.at, problem)
    }

    fn expected(&self, what: &str) -> Invalid {
        self.invalid(format!("expected {what}, found {}", self.token))
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(&self.token, Token::Word { text, .. } if text.eq_ignore_ascii_case(keyword))
    }

    fn connector(&self) -> Option<Connector> {
        if self.is_keyword("AND") {
            return Some(Connector::And);
        }
        self.is_keyword("OR").then_some(Connector::Or)
    }

    fn several(&mut self, depth: usize) -> Result<Expression, Invalid> {
        let first = self.one(depth)?;
        let Some(connector) = self.connector() else { return Ok(first) };
        let mut parts = vec![first];
        while let Some(found) = self.connector() {
            if found != connector {
                return Err(self.invalid("where AND meets OR, parentheses say which is meant"));
            }
            self.take()?;
            parts.push(self.one(depth)?);
        }
        Ok(match connector {
            Connector::And => Expression::And(parts),
            Connector::Or => Expression::Or(parts),
        })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, Invalid> {
        if depth > MAX_FILTER_DEPTH {
            return Err(self.invalid(format!("nested more than {MAX_FILTER_DEPTH} deep")));
        }
        if self.is_keyword("NOT") {
            self.take()?;
            return Ok(Expression::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.token == Token::Open {
            self.take()?;
            let inner = self.several(depth + 1)?;
            if self.token != Token::Close {
                return Err(self.expected("AND, OR or )"));
            }
            self.take()?;
            return Ok(inner);
        }
        self.comparison().map(Expression::Comparison)
    }

    fn comparison(&mut self) -> Result<Comparison, Invalid> {
        self.comparisons += 1;
        if self.comparisons > MAX_FILTER_COMPARISONS {
            return Err(self.invalid(format!("more than {MAX_FILTER_COMPARISONS} comparisons")));
        }
        let field_at = Position(self.at);
        let is_field = matches!(&self.token, Token::Word { is_prefix: false, .. });
        if !is_field || self.connector().is_some() {
            return Err(self.expected("a field"));
        }
        let Token::Word { text: field, .. } = self.take()? else {
            return Err(self.expected("a field"));
        };
        let operator_at = Position(self.at);
        let Token::Compare(operator) = self.token else {
            return Err(self.expected("=, !=, <, <=, >, >= or :*"));
        };
        self.take()?;
        let value_at = Position(self.at);
        let value = if operator == Operator::Has { self.any()? } else { self.value()? };
        Ok(Comparison { field, field_at, operator, operator_at, value, value_at })
    }

    fn any(&mut self) -> Result<Literal, Invalid> {
        if self.token != Token::Star {
            return Err(self.expected("*"));
        }
        self.take()?;
        Ok(Literal::Any)
    }

    fn value(&mut self) -> Result<Literal, Invalid> {
        if ["AND", "OR", "NOT"].iter().any(|keyword| self.is_keyword(keyword)) {
            return Err(self.expected("a value"));
        }
        match &self.token {
            Token::Word { text, is_prefix: false } if text == "now" => {
                self.take()?;
                self.relative(false)
            }
            Token::Minus | Token::Plus => self.relative(true),
            Token::Word { .. } | Token::Text { .. } | Token::Integer(_) => {
                let begin = self.at;
                let token = self.take()?;
                self.literal(begin, token)
            }
            Token::Duration(_) => {
                Err(self.invalid("a duration counts from now: write -1h, or now - 1h"))
            }
            _ => Err(self.expected("a value")),
        }
    }

    fn literal(&self, at: usize, token: Token) -> Result<Literal, Invalid> {
        Ok(match token {
            Token::Word { text, is_prefix: false } if text == "true" => Literal::Flag(true),
            Token::Word { text, is_prefix: false } if text == "false" => Literal::Flag(false),
            Token::Word { text, is_prefix } | Token::Text { text, is_prefix } => {
                Literal::Text { text, is_prefix }
            }
            Token::Integer(integer) => Literal::Integer(self.signed(at, integer, false)?),
            other => return Err(invalid(self.lexer.text, at, format!("{other} is no value"))),
        })
    }

    fn signed(&self, at: usize, integer: u64, is_negative: bool) -> Result<i64, Invalid> {
        let magnitude = i128::from(integer);
        i64::try_from(if is_negative { -magnitude } else { magnitude })
            .map_err(|_| invalid(self.lexer.text, at, "the number is too large"))
    }

    /// What follows `now`, or stands alone with its sign: a duration; or a negative number, where that may be.
    fn relative(&mut self, may_be_number: bool) -> Result<Literal, Invalid> {
        let is_negative = match self.token {
            Token::Minus => true,
            Token::Plus => false,
            _ => return Ok(Literal::Now { offset_ms: 0 }),
        };
        let at = self.at;
        self.take()?;
        match self.token {
            Token::Duration(ms) => {
                self.take()?;
                Ok(Literal::Now { offset_ms: if is_negative { -ms } else { ms } })
            }
            Token::Integer(integer) if may_be_number => {
                self.take()?;
                Ok(Literal::Integer(self.signed(at, integer, is_negative)?))
            }
            _ => Err(self.expected("a duration such as 90s, 1h or 7d")),
        }
    }
}
