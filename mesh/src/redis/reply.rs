//! What a script returns.

use super::Error;

/// A script's answer, in the forms that Lua can give: <https://redis.io/docs/latest/develop/programmability/lua-api/>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `nil` or `false`: there is nothing.
    Nothing,
    /// A number.
    Integer(i64),
    /// A string, of any bytes.
    Bytes(Vec<u8>),
    /// A table.
    List(Vec<Reply>),
}

impl Reply {
    /// The elements of a table that has `N` of them.
    ///
    /// # Errors
    /// [`Error::Refused`] for anything else.
    pub fn into_list<const N: usize>(self) -> Result<[Reply; N], Error> {
        match self {
            Self::List(list) => list
                .try_into()
                .map_err(|list: Vec<_>| unexpected(&format!("{} elements, not {N}", list.len()))),
            _ => Err(unexpected("no table")),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// [`Error::Refused`] for anything else.
    pub fn into_integer(self) -> Result<i64, Error> {
        match self {
            Self::Integer(number) => Ok(number),
            _ => Err(unexpected("no number")),
        }
    }

    /// The bytes of a string, if there is one.
    ///
    /// # Errors
    /// [`Error::Refused`] for numbers and tables.
    pub fn into_bytes(self) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Nothing => Ok(None),
            Self::Bytes(bytes) => Ok(Some(bytes)),
            Self::Integer(_) | Self::List(_) => Err(unexpected("no string")),
        }
    }
}

fn unexpected(what: &str) -> Error {
    Error::Refused(format!("a script's answer has an unexpected form: {what}"))
}
