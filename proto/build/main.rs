//! Compiles the contract: .proto files → descriptor set → messages, clients, servers and the
//! checks of field rules. Pure Rust; nobody needs protoc.

mod validation;

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message as _;

/// Folders that hold .proto files, relative to this package.
const SOURCES: [&str; 2] = ["google", "souk"];

/// The codec that the generated clients and servers use: it judges requests as it decodes them.
const CODEC: &str = "crate::codec::ValidatingCodec";

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in SOURCES {
        println!("cargo:rerun-if-changed={folder}");
        collect(Path::new(folder), &mut files)?;
    }
    println!("cargo:rerun-if-changed=build");
    files.sort();

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // The encoded form keeps the custom options, which prost-types' structs would drop.
    let encoded = compiler.encode_file_descriptor_set();

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), &encoded)?;
    let pool = prost_reflect::DescriptorPool::decode(encoded.as_slice())?;
    std::fs::write(out.join("validation.rs"), validation::generate(&pool)?)?;

    let set = prost_types::FileDescriptorSet::decode(encoded.as_slice())?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path(CODEC)
        .generate_default_stubs(true)
        .compile_fds(set)?;
    Ok(())
}

/// Adds every .proto file below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
