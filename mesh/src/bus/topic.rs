//! Topic patterns, as RabbitMQ's topic exchange has them: words separated by dots; `*` stands for
//! exactly one word, `#` for any number of words, also none.
//! Source: <https://www.rabbitmq.com/tutorials/tutorial-five-rust>.

use super::Error;

/// The patterns that a queue is bound by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(Vec<Vec<Word>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Text(String),
    One,
    Any,
}

impl Topics {
    /// Reads patterns.
    ///
    /// # Errors
    /// [`Error::Topic`] when a word is empty, or mixes text with `*` or `#`.
    pub fn parse(patterns: &[&str]) -> Result<Topics, Error> {
        patterns.iter().map(|pattern| parse(pattern)).collect::<Result<_, _>>().map(Topics)
    }

    /// Whether one of the patterns matches the topic.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let words: Vec<&str> = topic.split('.').collect();
        self.0.iter().any(|pattern| matches(pattern, &words))
    }
}

fn parse(pattern: &str) -> Result<Vec<Word>, Error> {
    pattern
        .split('.')
        .map(|word| match word {
            "*" => Ok(Word::One),
            "#" => Ok(Word::Any),
            text if !text.is_empty() && !text.contains(['*', '#']) => Ok(Word::Text(text.into())),
            _ => Err(Error::Topic(pattern.to_owned())),
        })
        .collect()
}

fn matches(pattern: &[Word], words: &[&str]) -> bool {
    match pattern.split_first() {
        None => words.is_empty(),
        Some((Word::Any, rest)) => (0..=words.len()).any(|skip| matches(rest, &words[skip..])),
        Some((Word::One, rest)) => !words.is_empty() && matches(rest, &words[1..]),
        Some((Word::Text(text), rest)) => {
            words.first() == Some(&text.as_str()) && matches(rest, &words[1..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_topic_exchange() {
        for (pattern, topic, expected) in [
            ("order.created", "order.created", true),
            ("order.created", "order.updated", false),
            ("order.*", "order.created", true),
            ("order.*", "order", false),
            ("order.*", "order.created.twice", false),
            ("*.created", "order.created", true),
            ("#", "order.created", true),
            ("order.#", "order", true),
            ("order.#", "order.created.twice", true),
            ("#.created", "order.created", true),
            ("#.created", "created", true),
            ("#.order.#", "a.order.b.c", true),
            ("#.order.#", "a.b.c", false),
        ] {
            let topics = Topics::parse(&[pattern]).unwrap();
            assert_eq!(topics.matches(topic), expected, "{pattern} on {topic}");
        }
    }

    #[test]
    fn any_of_several_patterns_is_enough() {
        let topics = Topics::parse(&["order.*", "payment.refunded"]).unwrap();
        assert!(topics.matches("payment.refunded"));
        assert!(!topics.matches("payment.failed"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["", "order.", ".created", "order.c*", "or#er"] {
            assert!(Topics::parse(&[pattern]).is_err(), "{pattern}");
        }
    }
}
