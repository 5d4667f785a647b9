//! Cron expressions: read by the library, with errors that name the field at fault.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// The fields of an expression, in order.
const FIELDS: [&str; 5] = ["minute", "hour", "day of month", "month", "day of week"];
/// Length of an expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 200;

/// Reads an expression of five fields, or a nickname (`@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`).
///
/// # Errors
/// What is wrong with it, with the name and the place (characters from 1) of the field at fault.
pub(super) fn parse(expression: &str) -> Result<Cron, String> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(format!("has {} bytes, at most {MAX_EXPRESSION_BYTES}", expression.len()));
    }
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if fields.first().is_some_and(|field| field.starts_with('@')) {
        return parser().parse(expression).map_err(|error| {
            format!("{expression:?} is no nickname that is known ({error}); write five fields")
        });
    }
    if fields.len() != FIELDS.len() {
        let names = FIELDS.join(", ");
        return Err(format!("has {} fields, must have five: {names}", fields.len()));
    }
    parser().parse(expression).map_err(|error| blame(expression, &fields, &error.to_string()))
}

/// Finds the field at fault: the one that is refused among stars.
fn blame(expression: &str, fields: &[&str], problem: &str) -> String {
    for (place, field) in fields.iter().enumerate() {
        let mut alone = ["*"; FIELDS.len()];
        alone[place] = field;
        if let Err(error) = parser().parse(&alone.join(" ")) {
            let offset = field.as_ptr() as usize - expression.as_ptr() as usize;
            let character = expression[..offset].chars().count() + 1;
            let name = FIELDS[place];
            return format!(
                "{name} (field {}, character {character}): {field:?}: {error}",
                place + 1
            );
        }
    }
    problem.to_owned()
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_gives_is_taken() {
        for good in [
            "0 3 * * *",
            "*/15 9-17 * * MON-FRI",
            "0 0 L * *",
            "0 12 15W JAN,jul *",
            "30 6 * * 5L",
            "0 8 * * MON#1",
            "@daily",
            "@hourly",
            "0 0 * * 7",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good));
        }
    }

    #[test]
    fn what_is_wrong_names_the_field_and_its_place() {
        for (bad, told) in [
            ("61 * * * *", "minute (field 1, character 1): \"61\""),
            ("0  25 * * *", "hour (field 2, character 4): \"25\""),
            ("0 3 32 * *", "day of month (field 3, character 5): \"32\""),
            ("0 3 * FOO *", "month (field 4, character 7): \"FOO\""),
            ("0 3 * * MON-", "day of week (field 5, character 9): \"MON-\""),
            ("0 3 * *", "has 4 fields"),
            ("0 0 3 * * *", "has 6 fields"),
            ("", "has 0 fields"),
            ("@fortnightly", "no nickname"),
        ] {
            let problem = parse(bad).unwrap_err();
            assert!(problem.contains(told), "{bad}: {problem}");
        }
        assert!(parse(&"1,".repeat(200)).unwrap_err().contains("bytes"));
    }
}
