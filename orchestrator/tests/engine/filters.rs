//! The filter language: what it means, what it refuses and where, and that no text brings it down.

use proptest::prelude::*;
use souk_orchestrator::engine::Filter;
use souk_orchestrator::engine::attribute::{Attribute, Value};
use souk_orchestrator::engine::event::Parent;
use souk_orchestrator::engine::filter::{
    Comparison, Expression, Literal, Operator, Position, Scope, parse,
};
use souk_orchestrator::engine::limits::{
    MAX_FILTER_BYTES, MAX_FILTER_COMPARISONS, MAX_FILTER_DEPTH,
};
use souk_orchestrator::engine::row::{FailureRecord, RunRow, RunState};

/// 2027-01-15T08:00:00Z.
const NOW_MS: i64 = 1_800_000_000_000;

fn parked() -> RunRow {
    let attribute = |name: &str, value| Attribute { name: name.into(), value: Some(value) };
    let mut row = RunRow {
        workflow_id: "order/7".into(),
        workflow_type: "place_order".into(),
        started_at_ms: NOW_MS - 3_600_000,
        updated_at_ms: NOW_MS - 60_000,
        next_sequence: 12,
        open_undo: 2,
        parent: Some(Parent { workflow_id: "order/1".into(), ..Parent::default() }),
        parked_by: Some(FailureRecord {
            code: "UNAVAILABLE".into(),
            message: "no answer".into(),
            step: "ReturnPayment".into(),
        }),
        attributes: vec![
            attribute("currency", Value::from("EUR")),
            attribute("promised_at", Value::TimeMs(NOW_MS + 86_400_000)),
            attribute("total", Value::from(5_980)),
            attribute("urgent", Value::from(true)),
        ],
        ..RunRow::default()
    };
    row.set_state(RunState::Parked);
    row
}

fn is_meant(text: &str, row: &RunRow) -> bool {
    Filter::parse(text, NOW_MS).unwrap_or_else(|why| panic!("{text}: {why}")).matches(row)
}

#[test]
fn a_filter_means_what_it_says() {
    let row = parked();
    for text in [
        "",
        "  ",
        "state = parked",
        "state = \"PARKED\"",
        "state = open",
        "state != closed",
        "type = 'place_order'",
        "workflow_id = order/*",
        "workflow_id = \"order/7\"",
        "failure = UNAVAILABLE and step = ReturnPayment",
        "failure:*",
        "parent = order/1",
        "parent:*",
        "NOT closed_at:*",
        "started_at < now",
        "started_at >= now - 1h",
        "started_at <= -60m",
        "started_at > -1h1ms",
        "started_at = \"2027-01-15T07:00:00Z\"",
        "started_at = \"2027-01-15T08:00:00+01:00\"",
        "updated_at > -1m30s",
        "events = 12 AND open_undo > 1",
        "total > 5000 AND attributes.total <= 5980",
        "total != 5",
        "NOT total = 5",
        "currency = \"EUR\" OR currency = USD",
        "currency >= \"E\" AND currency < F",
        "currency = E*",
        "urgent = true AND urgent != false",
        "promised_at < now + 2d AND promised_at > \"2027-01-16T00:00:00Z\"",
        "NOT (state = failed OR (total < 10 AND urgent = true))",
        "NOT NOT state = parked",
        "run_id = \"00000000-0000-0000-0000-000000000000\"",
    ] {
        assert!(is_meant(text, &row), "{text}");
    }
    for text in [
        "state = stuck",
        "state = closed",
        "type = place",
        "workflow_id = \"order/7\\*\"",
        "workflow_id = orders*",
        "total > 5980",
        "NOT urgent = true",
        "started_at > -1h",
        "state = parked AND events < 12",
        "state = failed OR total < 10",
    ] {
        assert!(!is_meant(text, &row), "{text}");
    }
}

/// What is misspelt must not mean everything once it is negated.
#[test]
fn what_a_run_does_not_have_is_neither_equal_nor_unequal() {
    let row = parked();
    for text in [
        "closed_at < now",
        "closed_at > \"1970-01-01T00:00:00Z\"",
        "totl = 5",
        "totl != 5",
        "total = \"5980\"",
        "total != \"5980\"",
        "currency > 3",
        "urgent = 1",
        "promised_at = soon",
    ] {
        assert!(!is_meant(text, &row), "{text}");
        assert!(!is_meant(&format!("NOT ({text})"), &row), "NOT ({text})");
    }
}

#[test]
fn a_stuck_run_is_a_parked_one_with_the_code_as_its_failure() {
    let mut row = RunRow { stuck_code: "SOUK-0001".into(), ..RunRow::default() };
    row.set_state(RunState::Stuck);
    assert!(is_meant("state = parked AND state = stuck AND failure = \"SOUK-0001\"", &row));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        ("state", "at character 6: expected =, !=, <, <=, >, >= or :*, found the end"),
        ("state =", "at character 8: expected a value, found the end"),
        ("state = AND", "at character 9: expected a value, found AND"),
        ("= parked", "at character 1: expected a field, found ="),
        ("(state = open", "at character 14: expected AND, OR or ), found the end"),
        ("state = open)", "at character 13: expected AND, OR or the end, found )"),
        ("state = open type = x", "at character 14: expected AND, OR or the end, found type"),
        (
            "state = open AND type = a OR type = b",
            "at character 27: where AND meets OR, parentheses say which is meant",
        ),
        ("type = \"é\" AND Käse = 1", "at character 17: 'ä' has no meaning here"),
        ("type = \"open", "at character 8: the text that begins here has no closing quote"),
        (
            "type = \"a*b\"",
            "at character 10: a * may only be the last character; \\* means the character itself",
        ),
        ("type = \"\\n\"", "at character 9: behind \\ only \", ', \\ and * may stand"),
        ("State = open", "at character 1: no field is called \"State\""),
        ("a.b = 1", "at character 1: no field is called \"a.b\""),
        ("type > \"x\"", "at character 6: this can only be compared by = and !=, not by >"),
        ("total > 5*", "at character 10: expected AND, OR or the end, found *"),
        ("code > x*", "at character 6: this can only be compared by = and !=, not by >"),
        ("urgent < true", "at character 8: this can only be compared by = and !=, not by <"),
        (
            "state = prked",
            "at character 9: state is compared with running, compensating, parked, stuck, paused, completed, failed, \
             cancelled, terminated, continued, open or closed, not with \"prked\"",
        ),
        (
            "events > many",
            "at character 10: events is compared with a whole number, not with \"many\"",
        ),
        (
            "started_at > yesterday",
            "at character 14: started_at is compared with a time such as \"2026-11-01T00:00:00Z\", now - 1h or -7d, \
             not with \"yesterday\"",
        ),
        (
            "started_at > 2026-11-01",
            "at character 14: a time is written in quotes, as in \"2026-11-01T00:00:00Z\"",
        ),
        ("started_at > 1h", "at character 14: a duration counts from now: write -1h, or now - 1h"),
        (
            "started_at > now - 1",
            "at character 20: expected a duration such as 90s, 1h or 7d, found 1",
        ),
        (
            "started_at > -1y",
            "at character 16: a number may be followed by ms, s, m, h, d or w, and nothing else",
        ),
        ("started_at > -99999999999999w", "at character 15: 99999999999999w is too long"),
        ("total = 99999999999999999999", "at character 9: the number is too large"),
        ("total = 9223372036854775808", "at character 9: the number is too large"),
        ("run_id = 7", "at character 10: run_id is compared with a text, not with 7"),
        ("closed_at:now", "at character 11: expected *, found now"),
        ("state = *", "at character 9: expected a value, found *"),
    ] {
        let refused = Filter::parse(text, NOW_MS).unwrap_err();
        assert_eq!(refused.to_string(), expected, "{text}");
    }
    assert!(is_meant("total > -9223372036854775808", &parked()));
}

#[test]
fn a_filter_is_bounded_in_length_depth_and_number() {
    let nested = |depth: usize| format!("{}state = open{}", "(".repeat(depth), ")".repeat(depth));
    assert!(is_meant(&nested(MAX_FILTER_DEPTH), &parked()));
    let deep = Filter::parse(&nested(MAX_FILTER_DEPTH + 1), 0).unwrap_err();
    assert!(deep.problem.contains("nested more than 32 deep"), "{deep}");
    let negated = format!("{}total = 1", "NOT ".repeat(900));
    assert!(Filter::parse(&negated, 0).unwrap_err().problem.contains("nested"));
    let many = |count: usize| vec!["a = 1"; count].join(" OR ");
    assert!(Filter::parse(&many(MAX_FILTER_COMPARISONS), 0).is_ok());
    assert!(Filter::parse(&many(MAX_FILTER_COMPARISONS + 1), 0).is_err());
    let long = format!("type = \"{}\"", "x".repeat(MAX_FILTER_BYTES));
    assert_eq!(
        Filter::parse(&long, 0).unwrap_err().to_string(),
        "at character 1: the filter has 4105 bytes, at most 4096"
    );
}

fn scope(text: &str) -> Scope {
    Filter::parse(text, NOW_MS).unwrap().scope()
}

#[test]
fn a_filter_knows_where_its_runs_can_be() {
    let types = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let narrow = scope("type = a AND state = parked AND started_at > -1h AND started_at <= now");
    assert_eq!(narrow.types, types(&["a"]));
    assert_eq!(narrow.states, [RunState::Parked, RunState::Stuck].into());
    assert_eq!((narrow.first_ms, narrow.last_ms), (NOW_MS - 3_600_000, NOW_MS));
    let either = scope("(type = a AND state = failed) OR (type = b AND state = paused)");
    assert_eq!(either.types, types(&["a", "b"]));
    assert_eq!(either.states, [RunState::Failed, RunState::Paused].into());
    // What closed before a time was started before it, too.
    assert_eq!(scope("closed_at < -1d").last_ms, NOW_MS - 86_400_000);
    assert_eq!(scope("NOT started_at >= now").last_ms, NOW_MS);
    for wide in ["NOT type = a", "type = a*", "type = a OR total = 3", "closed_at > -1d", "a != 1"]
    {
        assert_eq!(scope(wide), Scope::everything(), "{wide}");
    }
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        (".{0,12}", any::<bool>()).prop_map(|(text, is_prefix)| Literal::Text { text, is_prefix }),
        any::<i64>().prop_map(Literal::Integer),
        any::<bool>().prop_map(Literal::Flag),
        (-1_000_000_i64..1_000_000).prop_map(|offset_ms| Literal::Now { offset_ms }),
    ]
}

fn comparison() -> impl Strategy<Value = Expression> {
    use Operator::{Equal, Greater, GreaterOrEqual, Has, Less, LessOrEqual, Unequal};
    let names =
        prop_oneof!["[a-z]{4}[a-z_0-9]{0,8}", "attributes\\.[a-z]{1,8}", Just("state".into())];
    let operators = proptest::sample::select(vec![
        Equal,
        Unequal,
        Less,
        LessOrEqual,
        Greater,
        GreaterOrEqual,
        Has,
    ]);
    (names, operators, literal()).prop_map(|(field, operator, value)| {
        let value = if operator == Has { Literal::Any } else { value };
        let at = Position::default();
        let (field_at, operator_at, value_at) = (at, at, at);
        Expression::Comparison(Comparison {
            field,
            field_at,
            operator,
            operator_at,
            value,
            value_at,
        })
    })
}

fn expression() -> impl Strategy<Value = Expression> {
    comparison().prop_recursive(6, 40, 4, |inner| {
        let several = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several.clone().prop_map(Expression::And),
            several.prop_map(Expression::Or),
            inner.prop_map(|inner| Expression::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(expression in expression()) {
        let text = expression.to_string();
        prop_assume!(text.len() <= MAX_FILTER_BYTES);
        let read = parse(&text);
        prop_assert_eq!(read.as_ref(), Ok(&Some(expression)), "{}", text);
    }

    #[test]
    fn no_text_brings_it_down(text in ".{0,80}", now_ms in any::<i64>()) {
        let row = parked();
        match Filter::parse(&text, now_ms) {
            Ok(filter) => drop((filter.matches(&row), filter.scope())),
            Err(invalid) => prop_assert!(invalid.at <= text.chars().count() + 1, "{}", invalid),
        }
    }

    #[test]
    fn nothing_that_almost_is_a_filter_brings_it_down(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "state", "started_at", "total", "=", "!=", "<", ">=", ":", "*", "(", ")", "AND", "OR", "NOT", "now",
            "-", "+", "1h", "9223372036854775807w", "5", "\"a*\"", "'", "\\", "parked", "true", "é",
        ]), 0..24),
        now_ms in any::<i64>(),
    ) {
        let text = words.join(" ");
        if let Ok(filter) = Filter::parse(&text, now_ms) {
            let scope = filter.scope();
            let _ = (filter.matches(&parked()), scope.first_run(), scope.end_run());
        }
    }

    /// No run outside of the scope is meant.
    #[test]
    fn the_scope_leaves_nothing_out(
        expression in expression(),
        state in 0..10,
        started_at_ms in NOW_MS - 2_000_000..NOW_MS + 2_000_000,
    ) {
        let mut row = RunRow { started_at_ms, state, ..parked() };
        row.updated_at_ms = started_at_ms + 1_000;
        let text = expression.to_string();
        let Ok(filter) = Filter::parse(&text, NOW_MS) else { return Ok(()) };
        if filter.matches(&row) {
            let scope = filter.scope();
            prop_assert!(scope.states.contains(&row.state()), "{}", text);
            prop_assert!((scope.first_ms..=scope.last_ms).contains(&started_at_ms), "{}", text);
        }
    }
}
