//! Writes the `Validate` impls from the field rules, so that judging a request costs comparisons
//! only: no reflection happens at run time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, Value,
};

/// Messages that have hand-written checks, and the function in `crate::validate::rules` for each.
const KNOWN_MESSAGES: [(&str, &str); 4] = [
    ("google.type.Money", "money"),
    ("google.protobuf.Timestamp", "timestamp"),
    ("google.protobuf.Duration", "duration"),
    ("google.protobuf.FieldMask", "field_mask"),
];

/// What the generator cannot express is an error of the build, never an unchecked field.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// The source text of all impls: rules for requests and what they hold, nothing for responses.
pub fn generate(pool: &DescriptorPool) -> Fallible<String> {
    let rules = pool
        .get_extension_by_name("souk.options.v1.rules")
        .ok_or("souk.options.v1.rules is not declared")?;
    let mut judged = BTreeMap::new();
    let mut trusted = BTreeMap::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        reach(method.input(), &mut judged);
        trusted.insert(method.output().full_name().to_owned(), method.output());
    }
    let requests: Vec<String> = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| method.input().full_name().to_owned())
        .collect();

    let mut source = String::new();
    for (name, message) in &judged {
        write_impl(&mut source, message, requests.contains(name), &rules)?;
    }
    for message in trusted.values().filter(|message| !judged.contains_key(message.full_name())) {
        writeln!(source, "impl Validate for {} {{}}", rust_type(message.full_name()))?;
    }
    Ok(source)
}

/// Collects `message` and every message of ours that it holds.
fn reach(message: MessageDescriptor, found: &mut BTreeMap<String, MessageDescriptor>) {
    if known(&message).is_some()
        || found.insert(message.full_name().to_owned(), message.clone()).is_some()
    {
        return;
    }
    for field in message.fields() {
        if let Kind::Message(inner) = field.kind() {
            reach(inner, found);
        }
    }
}

fn known(message: &MessageDescriptor) -> Option<&'static str> {
    let found = KNOWN_MESSAGES.iter().find(|(name, _)| *name == message.full_name());
    found.map(|(_, function)| *function)
}

fn write_impl(
    source: &mut String,
    message: &MessageDescriptor,
    is_request: bool,
    rules: &ExtensionDescriptor,
) -> Fallible<()> {
    if message.parent_message().is_some() || message.oneofs().any(|oneof| !oneof.is_synthetic()) {
        return Err(
            format!("{}: no nested types or oneofs in requests", message.full_name()).into()
        );
    }
    writeln!(source, "impl Validate for {} {{", rust_type(message.full_name()))?;
    writeln!(source, "    const REQUEST: bool = {is_request};")?;
    writeln!(source, "    fn check(&self, at: &Path<'_>, violations: &mut Violations) {{")?;
    for field in message.fields() {
        write_field(source, &field, rules)?;
    }
    writeln!(source, "    }}\n}}")?;
    Ok(())
}

fn write_field(
    source: &mut String,
    field: &FieldDescriptor,
    extension: &ExtensionDescriptor,
) -> Fallible<()> {
    let name = field.name();
    let rules = Rules::of(field, extension);
    if field.is_map() || (field.supports_presence() && !matches!(field.kind(), Kind::Message(_))) {
        return Err(
            format!("{}: no maps or optional scalars in requests", field.full_name()).into()
        );
    }
    if field.cardinality() == Cardinality::Repeated {
        let (fewest, most) = (rules.min_items.unwrap_or(0), rules.max_items);
        let most = most.ok_or_else(|| format!("{}: needs max_items", field.full_name()))?;
        writeln!(
            source,
            "        rules::items(self.{name}.len(), {fewest}, {most}, &at.field({name:?}), violations);"
        )?;
        let check = check(field, "element", &rules, &format!("&at.element({name:?}, index)"))?;
        if let Some(check) = check {
            writeln!(
                source,
                "        for (index, element) in self.{name}.iter().enumerate().take({most}) {{ {check} }}"
            )?;
        }
        return Ok(());
    }
    let place = format!("&at.field({name:?})");
    if matches!(field.kind(), Kind::Message(_)) {
        let check = check(field, "value", &rules, &place)?.unwrap_or_default();
        let absent = if rules.required {
            format!("rules::missing({place}, violations)")
        } else {
            "()".into()
        };
        writeln!(
            source,
            "        match &self.{name} {{ Some(value) => {{ {check} }} None => {absent} }}"
        )?;
    } else if let Some(check) = check(field, &format!("&self.{name}"), &rules, &place)? {
        writeln!(source, "        {check}")?;
    }
    Ok(())
}

/// The statement that judges one value (a reference, in the expression `value`), if any is needed.
fn check(
    field: &FieldDescriptor,
    value: &str,
    rules: &Rules,
    place: &str,
) -> Fallible<Option<String>> {
    let required = rules.required;
    Ok(match field.kind() {
        Kind::String => Some(format!(
            "rules::text({value}, &{}, {place}, violations);",
            rules.text(field.full_name())?
        )),
        Kind::Bytes => Some(format!(
            "rules::bytes({value}, &{}, {place}, violations);",
            rules.text(field.full_name())?
        )),
        Kind::Enum(kind) => Some(format!(
            "rules::choice(*{value}, {}::try_from(*{value}).is_ok(), {required}, {place}, violations);",
            rust_type(kind.full_name())
        )),
        Kind::Message(message) => Some(match known(&message) {
            Some("money") => {
                format!("rules::money({value}, &{}, {place}, violations);", rules.range())
            }
            Some("duration") => {
                format!("rules::duration({value}, &{}, {place}, violations);", rules.range())
            }
            Some("field_mask") => {
                format!("rules::field_mask({value}, {required}, {place}, violations);")
            }
            Some(function) => format!("rules::{function}({value}, {place}, violations);"),
            None => format!("{value}.check({place}, violations);"),
        }),
        // Numbers of the engine's own records, between its nodes: every one of them is possible.
        Kind::Bool | Kind::Uint64 => None,
        Kind::Int32 | Kind::Int64 | Kind::Uint32 => Some(format!(
            "rules::number(i64::from(*{value}), &{}, {place}, violations);",
            rules.range()
        )),
        other => return Err(format!("{}: no {other:?} in requests", field.full_name()).into()),
    })
}

/// `souk.user.v1.Role` → `crate::user::v1::Role`.
fn rust_type(full_name: &str) -> String {
    let inner = full_name.strip_prefix("souk.").unwrap_or(full_name);
    format!("crate::{}", inner.replace('.', "::"))
}

/// A field's rules as written in the .proto file.
#[derive(Default)]
struct Rules {
    required: bool,
    min_len: Option<i64>,
    max_len: Option<i64>,
    format: i32,
    gt: Option<i64>,
    gte: Option<i64>,
    lt: Option<i64>,
    lte: Option<i64>,
    min_items: Option<i64>,
    max_items: Option<i64>,
}

impl Rules {
    fn of(field: &FieldDescriptor, extension: &ExtensionDescriptor) -> Self {
        let options = field.options();
        let value = options.get_extension(extension);
        let Some(message) = value.as_message() else { return Self::default() };
        Self {
            required: message
                .get_field_by_name("required")
                .is_some_and(|v| v.as_bool() == Some(true)),
            format: message
                .get_field_by_name("format")
                .and_then(|v| v.as_enum_number())
                .unwrap_or_default(),
            min_len: integer(message, "min_len"),
            max_len: integer(message, "max_len"),
            gt: integer(message, "gt"),
            gte: integer(message, "gte"),
            lt: integer(message, "lt"),
            lte: integer(message, "lte"),
            min_items: integer(message, "min_items"),
            max_items: integer(message, "max_items"),
        }
    }

    /// A `rules::Text` literal. Every text and bytes of a request is bounded.
    fn text(&self, full_name: &str) -> Fallible<String> {
        let format = match self.format {
            0 => "None",
            1 => "Some(Format::Uuid)",
            2 => "Some(Format::Email)",
            3 => "Some(Format::Slug)",
            4 => "Some(Format::Currency)",
            other => return Err(format!("{full_name}: unknown format {other}").into()),
        };
        let longest = match self.max_len {
            Some(longest) => longest.to_string(),
            None if self.format != 0 => "usize::MAX".to_owned(),
            None => return Err(format!("{full_name}: needs max_len or a format").into()),
        };
        Ok(format!(
            "rules::Text {{ required: {}, shortest: {}, longest: {longest}, format: {format} }}",
            self.required,
            self.min_len.unwrap_or(0)
        ))
    }

    /// A `rules::Range` literal.
    fn range(&self) -> String {
        format!(
            "rules::Range {{ gt: {:?}, gte: {:?}, lt: {:?}, lte: {:?} }}",
            self.gt, self.gte, self.lt, self.lte
        )
    }
}

/// The value of an optional integer field, if it is set.
fn integer(message: &DynamicMessage, name: &str) -> Option<i64> {
    if !message.has_field_by_name(name) {
        return None;
    }
    match message.get_field_by_name(name)?.as_ref() {
        Value::U32(value) => Some(i64::from(*value)),
        Value::I64(value) => Some(*value),
        _ => None,
    }
}
