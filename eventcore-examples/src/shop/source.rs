//! Where an input comes from, and its bytes, unpacked.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::InputError;

/// The data set that comes with the application; see `data/README.md` for its origin.
const BUILT_IN: &[u8] = include_bytes!("../../data/CDNOW_master.txt.gz");
/// The largest input, unpacked; it is held in memory while it is read.
pub(crate) const MOST_BYTES: u64 = 256 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Where the purchases come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The data set that comes with the application.
    BuiltIn,
    /// A file, as text or packed by gzip.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in CDNOW data"),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

impl Source {
    /// All bytes of the input, unpacked.
    pub(crate) fn content(&self) -> Result<Vec<u8>, InputError> {
        match self {
            Self::BuiltIn => content(BUILT_IN, self),
            Self::File(path) => content(open(path, self)?, self),
        }
    }
}

fn open(path: &Path, source: &Source) -> Result<File, InputError> {
    let unreadable = |error| InputError::Unreadable {
        from: source.clone(),
        source: error,
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(InputError::Directory {
            from: source.clone(),
        });
    }
    Ok(file)
}

/// All bytes, unpacked if they begin as gzip does.
fn content(mut reader: impl Read, source: &Source) -> Result<Vec<u8>, InputError> {
    let unreadable = |error| InputError::Unreadable {
        from: source.clone(),
        source: error,
    };
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    let magic = GZIP_MAGIC.len() as u64;
    reader
        .by_ref()
        .take(magic)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    let gzip = start == GZIP_MAGIC;
    let named_gzip =
        matches!(source, Source::File(path) if path.extension().is_some_and(|e| e == "gz"));
    if named_gzip && !gzip && !start.is_empty() {
        return Err(InputError::NotGzip {
            from: source.clone(),
        });
    }
    let mut content = Vec::new();
    let whole = io::Cursor::new(start).chain(reader);
    if gzip {
        MultiGzDecoder::new(whole)
            .take(MOST_BYTES + 1)
            .read_to_end(&mut content)
            .map_err(|error| InputError::DamagedGzip {
                from: source.clone(),
                unpacked: content.len(),
                source: error,
            })?;
    } else {
        whole
            .take(MOST_BYTES + 1)
            .read_to_end(&mut content)
            .map_err(unreadable)?;
    }
    if content.len() as u64 > MOST_BYTES {
        return Err(InputError::TooLarge {
            from: source.clone(),
        });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const TEXT: &[u8] = b"1 19970101 1 1.00\n";

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: &[u8]) -> Result<Vec<u8>, InputError> {
        content(bytes, &Source::File("x".into()))
    }

    #[test]
    fn packed_and_plain_text_have_the_same_content() {
        assert_eq!(unpack(TEXT).unwrap(), TEXT);
        assert_eq!(unpack(&packed(TEXT)).unwrap(), TEXT);
        let two_members = [packed(TEXT), packed(TEXT)].concat();
        assert_eq!(unpack(&two_members).unwrap(), [TEXT, TEXT].concat());
    }

    #[test]
    fn a_gzip_file_is_whole_or_refused_wherever_it_is_cut() {
        let whole = packed(TEXT);
        for length in 2..whole.len() {
            let error = unpack(&whole[..length]).unwrap_err();
            assert!(
                matches!(error, InputError::DamagedGzip { .. }),
                "{length}: {error}"
            );
        }
    }

    #[test]
    fn a_gzip_file_with_a_changed_byte_of_content_or_checksum_is_refused() {
        let whole = packed(TEXT);
        // After the ten bytes of header, whose time stamp and system may be anything.
        for at in 10..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            let error = unpack(&changed).unwrap_err();
            assert!(
                matches!(error, InputError::DamagedGzip { .. }),
                "{at}: {error}"
            );
        }
    }

    #[test]
    fn what_is_named_gzip_has_to_be_gzip() {
        let error = content(TEXT, &Source::File("x.gz".into())).unwrap_err();
        assert!(matches!(error, InputError::NotGzip { .. }), "{error}");
    }
}
