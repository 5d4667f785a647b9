//! Configuration: who wins, and what is said of mistakes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use serde::Deserialize;
use souk_mesh::config::{Error, Preset, Sources};
use souk_mesh::telemetry;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    data: String,
    edge: Edge,
    telemetry: telemetry::Config,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Edge {
    port: u16,
    host: String,
    open: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { data: "souk-data".into(), edge: Edge::default(), telemetry: Default::default() }
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self { port: 8080, host: "127.0.0.1".into(), open: false }
    }
}

fn load(
    file: Option<&str>,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = file.map(|text| {
        let path = folder.path().join("souk.toml");
        std::fs::write(&path, text).unwrap();
        path
    });
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let sources = Sources {
        presets: &[OPEN],
        file: path,
        environment: environment.collect(),
        flags: flags.collect(),
    };
    sources.load()
}

/// A shop that is open listens to all, and writes its log as it says.
const OPEN: Preset = Preset {
    key: "edge.open",
    value: "true",
    sets: &[("edge.host", "0.0.0.0")],
    copies: &[("edge.port", &["telemetry.log"])],
};

#[test]
fn a_setting_brings_others_with_it_which_anything_else_overrides() {
    let closed = load(Some("[edge]\nport = 1"), &[], &[]).unwrap();
    assert_eq!(closed, load(None, &[], &[("edge.port", "1")]).unwrap());
    let open = load(Some("[edge]\nport = 1"), &[], &[("edge.open", "true")]).unwrap();
    assert_eq!(open.edge, Edge { port: 1, host: "0.0.0.0".into(), open: true });
    assert_eq!(open.telemetry.log, "1");
    let environment = [("SOUK_EDGE__OPEN", "true")];
    let own = "[edge]\nhost = 'own'\nport = 1\n[telemetry]\nlog = 'own'";
    let open = load(Some(own), &environment, &[]).unwrap();
    assert_eq!((&*open.edge.host, &*open.telemetry.log), ("own", "own"));
}

#[test]
fn defaults_then_file_then_environment_then_flags() {
    assert_eq!(load(None, &[], &[]).unwrap(), Config::default());
    let file = "data = 'file'\n[edge]\nport = 1\nhost = 'file'\nopen = true\n";
    let environment = [
        ("SOUK_EDGE__PORT", "2"),
        ("SOUK_EDGE__HOST", "environment"),
        ("PATH", "/"),
        ("SOUK_TEST_SEED", "7"),
    ];
    let config = load(Some(file), &environment, &[("edge.port", "3")]).unwrap();
    assert_eq!(config.data, "file");
    assert_eq!(config.edge, Edge { port: 3, host: "environment".into(), open: true });
    let nested = load(None, &[("SOUK_TELEMETRY__LOG_FORMAT", "json")], &[]).unwrap();
    assert_eq!(nested.telemetry.log_format, telemetry::LogFormat::Json);
}

#[test]
fn a_mistake_is_named_with_where_it_came_from() {
    for (file, environment, flags, expected) in [
        (Some("[edge]\nprot = 1"), vec![], vec![], ["edge.prot", "souk.toml", "unknown field"]),
        (Some("dta = 'x'"), vec![], vec![], ["key dta", "souk.toml", "unknown field"]),
        (Some("[edge]\nport = 'many'"), vec![], vec![], ["edge.port", "souk.toml", "many"]),
        (Some("[edge]\nport = 70000"), vec![], vec![], ["edge.port", "souk.toml", "70000"]),
        (Some("edge = 3"), vec![], vec![], ["key edge", "souk.toml", "integer `3`"]),
        (Some("[edge"), vec![], vec![], ["souk.toml", "config file", "line 1"]),
        (None, vec![("SOUK_EDGE__PROT", "1")], vec![], ["edge.prot", "SOUK_EDGE__PROT", "unknown"]),
        (None, vec![("SOUK_EDGE__PORT", "x")], vec![], ["edge.port", "SOUK_EDGE__PORT", "\"x\""]),
        (
            None,
            vec![("SOUK_EDGE__OPEN", "perhaps")],
            vec![],
            ["edge.open", "EDGE__OPEN", "perhaps"],
        ),
        (None, vec![], vec![("edge.port", "-1")], ["edge.port", "--edge-port", "-1"]),
        (None, vec![], vec![("edge.pot", "1")], ["edge.pot", "--edge-pot", "unknown"]),
        (
            None,
            vec![("SOUK_TELEMETRY__LOG_FORMAT", "xml")],
            vec![],
            ["telemetry.log_format", "SOUK_TELEMETRY__LOG_FORMAT", "xml"],
        ),
    ] {
        let error = load(file, &environment, &flags).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    }
}

#[test]
fn a_later_source_is_blamed_for_what_it_overwrote() {
    let file = "[edge]\nport = 1";
    let error = load(Some(file), &[("SOUK_EDGE__PORT", "x")], &[]).unwrap_err().to_string();
    assert!(error.contains("SOUK_EDGE__PORT") && !error.contains("souk.toml"), "{error}");
}

#[test]
fn a_file_that_is_not_there_and_a_variable_that_is_no_text_are_errors() {
    let absent = Sources { file: Some("/nowhere/souk.toml".into()), ..Sources::default() };
    let error = absent.load::<Config>().unwrap_err().to_string();
    assert!(error.contains("/nowhere/souk.toml"), "{error}");
    let garbled = OsString::from_vec(vec![0xff]);
    let environment = vec![("SOUK_DATA".into(), garbled)];
    let error = Sources { environment, ..Sources::default() }.load::<Config>().unwrap_err();
    assert!(error.to_string().contains("SOUK_DATA"), "{error}");
}
