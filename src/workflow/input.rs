//! JSON that a command is given: as an argument, in a file, or on standard input.

use std::io::Read;

use anyhow::{Context, Result, bail};

/// What a payload may have at most, in bytes: the engine's bound.
const MAX_BYTES: u64 = 512 * 1024;

/// Reads JSON from `@FILE`, from standard input for `-`, or takes the argument itself. What it holds is passed on as it is.
pub fn read(argument: &str) -> Result<Vec<u8>> {
    let bytes = match (argument, argument.strip_prefix('@')) {
        ("-", _) => bounded(std::io::stdin().lock()).context("standard input cannot be read")?,
        (_, Some(path)) => std::fs::File::open(path)
            .and_then(bounded)
            .with_context(|| format!("{path} cannot be read"))?,
        (json, None) => json.as_bytes().to_vec(),
    };
    if bytes.len() as u64 > MAX_BYTES {
        bail!("the input has more than {MAX_BYTES} bytes");
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).context("the input is not JSON")?;
    Ok(bytes)
}

/// One byte more than is allowed tells that there are too many.
fn bounded(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_comes_from_where_it_is_said_to_be_and_must_be_json() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("input.json");
        let argument = format!("@{}", file.display());
        assert!(read(&argument).unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&file, "{\"lines\": [1]}\n").unwrap();
        assert_eq!(read(&argument).unwrap(), b"{\"lines\": [1]}\n");
        assert_eq!(read("[1,2]").unwrap(), b"[1,2]");
        for wrong in ["", "{", "[1] 2", "@"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        std::fs::write(&file, vec![b' '; 600 * 1024]).unwrap();
        assert!(read(&argument).unwrap_err().to_string().contains("more than"));
    }
}
