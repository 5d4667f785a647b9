//! How text becomes words: the same for products and for what customers type.
//!
//! A word is a run of letters and digits, in lower case, accents dropped. What customers type is words and
//! nothing else: there is no query language, so there is no malformed query.

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer,
    TextAnalyzer, TokenizerManager,
};

/// The tokenizer of words as they are.
pub const WORDS: &str = "souk_words";
/// The tokenizer of English stems, by which "mugs" finds "mug".
pub const STEMS: &str = "souk_stems";
/// Longer words, in bytes, are no words.
const MAX_WORD_BYTES: usize = 40;
/// Further words of a query are not looked at.
const MAX_QUERY_WORDS: usize = 12;
/// Words that say little: they may lack where others fit.
const FILLERS: [&str; 24] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "is", "it", "my", "of",
    "on", "or", "our", "that", "the", "this", "to", "with", "your",
];
/// From so many letters on, one typing error is tolerated.
const ONE_TYPO_CHARS: usize = 4;
/// From so many letters on, two typing errors are tolerated.
const TWO_TYPOS_CHARS: usize = 8;

/// Makes the tokenizers known to an index.
pub fn register(tokenizers: &TokenizerManager) {
    tokenizers.register(WORDS, words_analyzer());
    tokenizers.register(STEMS, stems_analyzer());
}

fn words_analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(MAX_WORD_BYTES + 1))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

fn stems_analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(MAX_WORD_BYTES + 1))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// One word that a customer typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As typed, folded.
    pub text: String,
    /// Its English stem.
    pub stem: String,
    /// Whether it may be only the beginning of a word.
    pub unfinished: bool,
}

impl Word {
    /// A whole word, folded already.
    #[must_use]
    pub fn whole(text: &str) -> Self {
        let stem = tokens(stems_analyzer(), text).pop().unwrap_or_default();
        Self { text: text.to_owned(), stem, unfinished: false }
    }

    /// Whether it says little.
    #[must_use]
    pub fn is_filler(&self) -> bool {
        FILLERS.contains(&self.text.as_str())
    }

    /// How many typing errors are tolerated. Numbers are taken at their word: 1001 is not 1002.
    #[must_use]
    pub fn typos(&self) -> u8 {
        if self.text.chars().any(char::is_numeric) {
            return 0;
        }
        match self.text.chars().count() {
            TWO_TYPOS_CHARS.. => 2,
            ONE_TYPO_CHARS.. => 1,
            _ => 0,
        }
    }
}

/// The words that a customer typed. The last is unfinished as long as nothing follows it.
#[must_use]
pub fn query_words(typed: &str) -> Vec<Word> {
    let mut words: Vec<Word> = fold(typed).iter().map(|text| Word::whole(text)).collect();
    words.truncate(MAX_QUERY_WORDS);
    let open = typed.chars().next_back().is_some_and(char::is_alphanumeric);
    if let Some(last) = words.last_mut() {
        last.unfinished = open;
    }
    words
}

/// The words of a text, folded.
#[must_use]
pub fn fold(text: &str) -> Vec<String> {
    tokens(words_analyzer(), text)
}

fn tokens(mut analyzer: TextAnalyzer, text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut stream = analyzer.token_stream(text);
    while let Some(token) = stream.next() {
        tokens.push(token.text.clone());
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_folded_into_words() {
        assert_eq!(fold("Crème-brûlée SET, 2×"), ["creme", "brulee", "set", "2"]);
        assert_eq!(fold("AND (\"~* [\\"), ["and"]);
        assert!(fold("?! ()").is_empty());
        assert!(fold(&"x".repeat(MAX_WORD_BYTES + 1)).is_empty());
        assert_eq!(fold(&"x".repeat(MAX_WORD_BYTES)).len(), 1);
    }

    #[test]
    fn only_the_last_word_is_unfinished_and_only_while_it_is_typed() {
        let unfinished = |typed| -> Vec<bool> {
            query_words(typed).iter().map(|word| word.unfinished).collect()
        };
        assert_eq!(unfinished("red tea"), [false, true]);
        assert_eq!(unfinished("red tea "), [false, false]);
        assert_eq!(query_words("mugs")[0].stem, "mug");
        assert_eq!(query_words(&"word ".repeat(100)).len(), MAX_QUERY_WORDS);
    }

    #[test]
    fn longer_words_tolerate_more_errors_and_numbers_none() {
        for (word, typos) in
            [("tea", 0), ("coat", 1), ("teapots", 1), ("notebook", 2), ("a1001", 0)]
        {
            assert_eq!(Word::whole(word).typos(), typos, "{word}");
        }
    }
}
