//! A token shown with every call: what clients outside the mesh (commands, benchmarks, tests) put before their stubs.

use tonic::metadata::errors::InvalidMetadataValue;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Puts `authorization: Bearer …` on every request.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Shows `token`.
    ///
    /// # Errors
    /// When the token is not printable ASCII, which no token that we sign is.
    pub fn new(token: &str) -> Result<Self, InvalidMetadataValue> {
        let mut header: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
        header.set_sensitive(true);
        Ok(Self(Some(header)))
    }

    /// Shows nothing: who calls is a stranger.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_with_each_request() {
        let mut bearer = Bearer::new("abc.def").unwrap();
        for _ in 0..2 {
            let request = bearer.call(Request::new(())).unwrap();
            assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer abc.def");
        }
    }

    #[test]
    fn a_stranger_shows_nothing() {
        let request = Bearer::none().call(Request::new(())).unwrap();
        assert!(request.metadata().is_empty());
    }

    #[test]
    fn a_token_that_would_break_the_header_is_refused() {
        assert!(Bearer::new("abc\ndef").is_err());
    }
}
