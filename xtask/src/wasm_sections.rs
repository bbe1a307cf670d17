//! What a wasm module requires of its host and offers to it: the import and export sections, read by hand.
//! Source: WebAssembly core specification 2.0, §5.5 (binary format of modules).

use anyhow::{Context, Result, bail, ensure};

#[cfg(test)]
mod tests;

const CUSTOM_SECTION: u8 = 0;
const IMPORT_SECTION: u8 = 2;
const EXPORT_SECTION: u8 = 7;

/// WASI functions that Envoy implements and the filter may use besides the proxy-wasm host calls.
const ALLOWED_WASI: [&str; 6] = [
    "environ_sizes_get",
    "environ_get",
    "fd_write",
    "clock_time_get",
    "random_get",
    "proc_exit",
];

/// One import: `module.name`, for example `env.proxy_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) name: String,
    pub(crate) is_function: bool,
}

impl Import {
    /// Whether Envoy's proxy-wasm host offers it.
    pub(crate) fn is_allowed(&self) -> bool {
        self.is_function
            && match self.module.as_str() {
                "env" => self.name.starts_with("proxy_"),
                "wasi_snapshot_preview1" => ALLOWED_WASI.contains(&self.name.as_str()),
                _ => false,
            }
    }
}

/// The imports of a wasm module, in file order.
///
/// # Errors
/// When the bytes are no wasm module of version 1, or end early.
pub(crate) fn read_imports(module: &[u8]) -> Result<Vec<Import>> {
    let sections = read_sections(module, IMPORT_SECTION)?;
    let imports = sections
        .into_iter()
        .map(|section| read_import_section(section).context("in the import section"));
    Ok(imports.collect::<Result<Vec<_>>>()?.concat())
}

/// The names of the functions that a wasm module exports, in file order.
///
/// # Errors
/// When the bytes are no wasm module of version 1, or end early.
pub(crate) fn read_exported_functions(module: &[u8]) -> Result<Vec<String>> {
    let sections = read_sections(module, EXPORT_SECTION)?;
    let names = sections
        .into_iter()
        .map(|section| read_export_section(section).context("in the export section"));
    Ok(names.collect::<Result<Vec<_>>>()?.concat())
}

/// Appends a custom section (§5.5.3) with a text as its content. Hosts ignore what they do not know there.
pub(crate) fn append_custom_section(module: &mut Vec<u8>, name: &str, content: &str) {
    let mut body = leb128(name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content.as_bytes());
    module.push(CUSTOM_SECTION);
    module.extend(leb128(body.len()));
    module.extend(body);
}

/// Unsigned LEB128.
fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The bodies of all sections with this id.
fn read_sections(module: &[u8], wanted: u8) -> Result<Vec<&[u8]>> {
    let mut reader = Reader { rest: module };
    ensure!(
        reader.take(8)? == b"\0asm\x01\0\0\0",
        "not a wasm module of version 1"
    );
    let mut sections = Vec::new();
    while !reader.rest.is_empty() {
        let id = reader.byte()?;
        let length = reader.unsigned()?;
        let section = reader.take(length)?;
        if id == wanted {
            sections.push(section);
        }
    }
    Ok(sections)
}

fn read_export_section(section: &[u8]) -> Result<Vec<String>> {
    let mut reader = Reader { rest: section };
    let mut names = Vec::new();
    for _ in 0..reader.unsigned()? {
        let name = reader.name()?;
        let kind = reader.byte()?;
        reader.unsigned()?;
        if kind == 0 {
            names.push(name);
        }
    }
    ensure!(reader.rest.is_empty(), "{} bytes too many", reader.rest.len());
    Ok(names)
}

fn read_import_section(section: &[u8]) -> Result<Vec<Import>> {
    let mut reader = Reader { rest: section };
    let count = reader.unsigned()?;
    let mut imports = Vec::new();
    for _ in 0..count {
        let module = reader.name()?;
        let name = reader.name()?;
        let is_function = reader.import_kind()?;
        imports.push(Import {
            module,
            name,
            is_function,
        });
    }
    ensure!(reader.rest.is_empty(), "{} bytes too many", reader.rest.len());
    Ok(imports)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .context("the module ends early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// Unsigned LEB128, at most 64 bits (table and memory limits may be 64 bits wide).
    fn unsigned(&mut self) -> Result<usize> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            ensure!(shift < 63 || bits <= 1, "a number is larger than 64 bits");
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).context("a number is too large for this machine");
            }
        }
        bail!("a number is longer than ten bytes")
    }

    fn name(&mut self) -> Result<String> {
        let length = self.unsigned()?;
        Ok(String::from_utf8(self.take(length)?.to_vec())?)
    }

    /// Reads an import description and returns whether it is a function.
    fn import_kind(&mut self) -> Result<bool> {
        let kind = self.byte()?;
        match kind {
            0 => drop(self.unsigned()?),
            1 => {
                self.byte()?;
                self.limits()?;
            }
            2 => self.limits()?,
            3 => drop(self.take(2)?),
            4 => {
                self.byte()?;
                self.unsigned()?;
            }
            _ => bail!("unknown kind of import {kind}"),
        }
        Ok(kind == 0)
    }

    fn limits(&mut self) -> Result<()> {
        let flags = self.byte()?;
        self.unsigned()?;
        if flags & 1 == 1 {
            self.unsigned()?;
        }
        Ok(())
    }
}
