//! Whether a run could be started, without starting it.

use super::start::check;
use super::{Engine, StartRequest};
use crate::engine::error::Error;
use crate::engine::event::Started;
use crate::engine::run::Run;

impl Engine {
    /// Holds a request against what this node can start: the type is known, the input fits it, and everything is within
    /// its bounds. For those who write down now what is to be started later. Whether the id is free is not looked at.
    ///
    /// # Errors
    /// [`Error::UnknownType`], [`Error::InvalidInput`], [`Error::TooLarge`], [`Error::InvalidAttribute`].
    pub fn check_start(&self, request: &StartRequest) -> Result<(), Error> {
        check(request)?;
        let workflow_type = &request.workflow_type;
        let definition = self.core.registry.get(workflow_type);
        let definition = definition.ok_or_else(|| Error::UnknownType(workflow_type.clone()))?;
        let event = Started {
            workflow_id: request.workflow_id.clone(),
            workflow_type: request.workflow_type.clone(),
            input: request.input.clone(),
            ..Started::default()
        };
        let run = Run::prepare(&**definition, self.core.new_run_id(), &event);
        run.map(drop).map_err(|error| {
            let problem = error.to_string();
            Error::InvalidInput { what: workflow_type.clone(), problem }
        })
    }
}
