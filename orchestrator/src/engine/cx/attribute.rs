//! Search attributes that the workflow sets.

use super::{Cx, State};
use crate::engine::attribute::{self, Attribute, Value};
use crate::engine::error::StuckCode;
use crate::engine::event::{AttributesSet, Body};

impl Cx {
    /// Sets a search attribute of the run: staff find it by this value from now on, also when the run has ended. Goes on
    /// record with the next commit; nothing happens if the attribute says this already.
    ///
    /// A name that is not one, a text that is too long and too many attributes leave the run stuck (SOUK-0008).
    pub fn set_attribute(&self, name: &str, value: impl Into<Value>) {
        self.set_attributes([(name, value.into())]);
    }

    /// Sets several at once, in one event.
    pub fn set_attributes<'a>(&self, values: impl IntoIterator<Item = (&'a str, Value)>) {
        let change =
            |(name, value): (&str, Value)| Attribute { name: name.into(), value: Some(value) };
        let changes = values.into_iter().map(change).collect();
        self.shared.state.lock().change_attributes(changes);
    }

    /// Takes a search attribute away.
    pub fn clear_attribute(&self, name: &str) {
        let change = Attribute { name: name.to_owned(), value: None };
        self.shared.state.lock().change_attributes(vec![change]);
    }

    /// What a search attribute of the run says: set by the workflow, or given at the start.
    pub fn attribute(&self, name: &str) -> Option<Value> {
        self.shared.state.lock().attributes.get(name).cloned()
    }
}

impl State {
    fn change_attributes(&mut self, mut changes: Vec<Attribute>) {
        changes.retain(|change| self.attributes.get(&change.name) != change.value.as_ref());
        if changes.is_empty() {
            return;
        }
        attribute::change(&mut self.attributes, &changes);
        match attribute::check(&self.attributes) {
            Ok(()) => self.emit(Body::AttributesSet(AttributesSet { changes })),
            Err(invalid) => self.misfit(StuckCode::BoundExceeded, invalid.to_string()),
        }
    }
}
