//! Typed configuration: defaults, then a TOML file, then the environment, then flags; the later one wins.
//!
//! A key that nobody knows or a value that does not fit is an error that names the key and where it came from: a
//! misspelt limit must not silently be the default.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};
use serde::de::DeserializeOwned;

/// What the environment variables of the shop start with; `__` goes one level down: `SOUK_EDGE__PORT` is `edge.port`.
pub const PREFIX: &str = "SOUK";
/// What tests are told by, and programs that they start inherit: none of it is configuration.
const OF_TESTS: &str = "SOUK_TEST_";

type Builder = config::ConfigBuilder<config::builder::DefaultState>;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or is not TOML.
    #[error("config file {file}: {problem}")]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An environment variable of ours that is not text.
    #[error("environment variable {0} is not valid UTF-8")]
    NotText(String),
    /// A key is not known, or its value does not fit.
    #[error("config key {key}{}: {problem}", from(.origin))]
    Key {
        /// The key, with dots.
        key: String,
        /// The file, environment variable or flag that sets it.
        origin: Option<String>,
        /// What is wrong with it.
        problem: String,
    },
    /// Anything else.
    #[error("config: {0}")]
    Other(String),
}

fn from(origin: &Option<String>) -> String {
    origin.as_ref().map_or_else(String::new, |origin| format!(" (from {origin})"))
}

/// Settings that one setting brings with it, where nothing else sets them.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// The setting's key …
    pub key: &'static str,
    /// … and the value that brings the others.
    pub value: &'static str,
    /// Keys and their values.
    pub sets: &'static [(&'static str, &'static str)],
    /// Keys, and those that get the same value or table.
    pub copies: &'static [(&'static str, &'static [&'static str])],
}

/// Where configuration comes from, besides the defaults of its type.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// What settings bring with them; all else wins over it.
    pub presets: &'static [Preset],
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not start with [`PREFIX`] and `_` are none of ours.
    pub environment: Vec<(OsString, OsString)>,
    /// Keys with dots and their values, from the command line.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The process's environment, a file if there is one, and flags.
    #[must_use]
    pub fn of_process(file: Option<&Path>, flags: Vec<(String, String)>) -> Self {
        let environment = std::env::vars_os().collect();
        Self { presets: &[], file: file.map(Path::to_owned), environment, flags }
    }

    /// Reads everything into a `T`. Every struct in it must say `#[serde(default, deny_unknown_fields)]`.
    ///
    /// # Errors
    /// Every variant of [`Error`].
    pub fn load<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let mut origins = Origins::default();
        let mut builder = config::Config::builder();
        if let Some(path) = &self.file {
            let in_file = |problem| Error::File { file: path.clone(), problem };
            let text = std::fs::read_to_string(path).map_err(|error| in_file(error.to_string()))?;
            let source = File::from_str(&text, FileFormat::Toml);
            let values = source.collect().map_err(|error| in_file(error.to_string()))?;
            origins.add("", &Value::from(values), &|_| format!("file {}", path.display()));
            builder = builder.add_source(source);
        }
        let (environment, names) = self.environment()?;
        let values = environment.collect().map_err(|error| Error::Other(error.to_string()))?;
        origins.add("", &Value::from(values), &|key| {
            let name = names.get(key).map_or(key, String::as_str);
            format!("environment variable {name}")
        });
        builder = builder.add_source(environment);
        for (key, value) in &self.flags {
            let set = builder.set_override(key, value.as_str());
            builder = set.map_err(|error| origins.explain(&error))?;
            origins.0.insert(key.clone(), format!("flag --{}", key.replace(['.', '_'], "-")));
        }
        let said = builder.clone().build().map_err(|error| origins.explain(&error))?;
        for preset in self.presets {
            if said.get_string(preset.key).is_ok_and(|value| value == preset.value) {
                builder = preset.add_to(builder, &said, &mut origins)?;
            }
        }
        let merged = builder.build().map_err(|error| origins.explain(&error))?;
        merged.try_deserialize().map_err(|error| origins.explain(&error))
    }

    /// Our part of the environment, and the variable's name of each key.
    fn environment(&self) -> Result<(Environment, HashMap<String, String>), Error> {
        let mut variables = Map::new();
        let mut names = HashMap::new();
        for (name, value) in &self.environment {
            let Some(name) = name.to_str().filter(|name| !name.starts_with(OF_TESTS)) else {
                continue;
            };
            let Some(key) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('_'))
            else {
                continue;
            };
            let value = value.to_str().ok_or_else(|| Error::NotText(name.to_owned()))?;
            names.insert(key.to_lowercase().replace("__", "."), name.to_owned());
            variables.insert(name.to_owned(), value.to_owned());
        }
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator("_")
            .separator("__")
            .source(Some(variables));
        Ok((environment, names))
    }
}

impl Preset {
    /// Puts the settings below those of all sources; `said` is what these say.
    fn add_to(
        &self,
        mut builder: Builder,
        said: &config::Config,
        origins: &mut Origins,
    ) -> Result<Builder, Error> {
        for (key, value) in self.sets {
            builder = builder.set_default(*key, *value).map_err(|error| origins.explain(&error))?;
            origins.add_missing(key, format!("{} = {}", self.key, self.value));
        }
        for (from, keys) in self.copies {
            let Ok(value) = said.get::<Value>(from) else { continue };
            for key in *keys {
                let copied = builder.set_default(*key, value.clone());
                builder = copied.map_err(|error| origins.explain(&error))?;
                origins.add_missing(key, (*from).to_owned());
            }
        }
        Ok(builder)
    }
}

/// Where each key's value came from; later sources overwrite earlier ones.
#[derive(Default)]
struct Origins(HashMap<String, String>);

impl Origins {
    fn add(&mut self, path: &str, value: &Value, origin: &dyn Fn(&str) -> String) {
        if let ValueKind::Table(table) = &value.kind {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                self.add(&path, value, origin);
            }
        }
        if !path.is_empty() {
            self.0.insert(path.to_owned(), origin(path));
        }
    }

    fn add_missing(&mut self, key: &str, origin: String) {
        self.0.entry(key.to_owned()).or_insert(origin);
    }

    /// The error with the key's full name and origin.
    fn explain(&self, error: &ConfigError) -> Error {
        let (key, problem) = match error {
            ConfigError::Type { key: Some(key), unexpected, expected, .. } => {
                (key.clone(), format!("{unexpected} is not {expected}"))
            }
            ConfigError::At { key: Some(key), error, .. } => (key.clone(), error.to_string()),
            other => (String::new(), other.to_string()),
        };
        let unknown = problem.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
        let key = match unknown {
            Some((field, _)) if key.is_empty() => field.to_owned(),
            Some((field, _)) => format!("{key}.{field}"),
            None => key,
        };
        if key.is_empty() {
            return Error::Other(problem);
        }
        Error::Key { origin: self.0.get(&key).cloned(), key, problem }
    }
}
