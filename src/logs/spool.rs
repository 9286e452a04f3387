//! Reads the task's output file behind the program that writes it, in pieces that end at line ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};

use super::lines::incomplete_character;
use crate::secrets::Masker;

/// Bytes of the console that are ready to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segment {
    /// The bytes, secrets replaced.
    pub bytes: Vec<u8>,
    /// Offset in the file behind the last byte.
    pub end: u64,
}

/// The output file, read from the acknowledged offset on.
#[derive(Debug)]
pub struct Spool {
    file: File,
    offset: u64,
    limit: u64,
    /// Something is missing there.
    is_gap: bool,
    freed: u64,
    partial_since: Option<(u64, Instant)>,
}

/// Whether more may come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rest {
    Held,
    Due,
}

impl Spool {
    /// How much is read at once; bounds the memory of an upload.
    const PIECE: usize = 256 * 1024;
    /// How long a line without an end is held back (D-224).
    const HOLD: Duration = Duration::from_secs(2);
    /// Acknowledged bytes are given back to the disk in pieces of this size.
    const HOLE: u64 = 256 * 1024;

    /// Opens the file; everything before `offset` has been acknowledged.
    pub fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self {
            file,
            offset,
            limit: u64::MAX,
            is_gap: false,
            freed: 0,
            partial_since: None,
        })
    }

    /// Bytes that have been written and not yet handed out.
    pub fn backlog(&self) -> io::Result<u64> {
        let end = self.file.metadata()?.len().min(self.limit);
        Ok(end.saturating_sub(self.offset))
    }

    /// Where the next segment begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Treats the file as if it ended at `end`, whatever is written behind it.
    pub fn limit_to(&mut self, end: u64) {
        self.limit = end;
        self.is_gap = false;
    }

    /// The same where something is missing at `gap`; without one the file ends where it does.
    pub fn limit_to_gap(&mut self, gap: Option<u64>) {
        self.limit = gap.unwrap_or(u64::MAX);
        self.is_gap = gap.is_some();
    }

    /// The next segment: whole lines, or what there is when `ended` or when a line stays open for long (D-224).
    pub fn next(
        &mut self,
        masker: &Masker,
        ended: bool,
        now: Instant,
    ) -> io::Result<Option<Segment>> {
        let waiting = usize::try_from(self.backlog()?).unwrap_or(usize::MAX);
        if waiting == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; waiting.min(Self::PIECE)];
        let read = self.read(&mut bytes)?;
        bytes.truncate(read);
        let full = read == Self::PIECE;
        let rest = if ended && !full {
            Rest::Due
        } else {
            self.rest(full, now)
        };
        let cut = cut(&bytes, masker, rest, ended && !full);
        if cut == 0 {
            return Ok(None);
        }
        bytes.truncate(cut);
        self.offset += cut as u64;
        self.partial_since = None;
        Ok(Some(Segment {
            bytes: self.masked(masker, &bytes),
            end: self.offset,
        }))
    }

    /// What stood at a gap was lost.
    fn masked(&self, masker: &Masker, bytes: &[u8]) -> Vec<u8> {
        if self.is_gap && self.offset == self.limit {
            masker.mask_cut(bytes)
        } else {
            masker.mask_bytes(bytes)
        }
    }

    /// The bytes up to `end`, whatever they are: a segment that an earlier process has cut.
    pub fn take(&mut self, end: u64, masker: &Masker) -> io::Result<Option<Segment>> {
        let length = usize::try_from(end.saturating_sub(self.offset))
            .unwrap_or(usize::MAX)
            .min(Self::PIECE);
        let mut bytes = vec![0; length];
        let read = self.read(&mut bytes)?;
        bytes.truncate(read);
        if bytes.is_empty() {
            return Ok(None);
        }
        self.offset += read as u64;
        Ok(Some(Segment {
            bytes: self.masked(masker, &bytes),
            end: self.offset,
        }))
    }

    /// Moves to `acknowledged` if holes may have been made in what was not read yet; true where bytes were skipped.
    pub fn skip_to(&mut self, acknowledged: u64) -> bool {
        let freed = acknowledged - acknowledged % Self::HOLE;
        let behind = self.offset < freed;
        if behind {
            self.offset = freed;
        }
        behind
    }

    /// Gives the bytes before `acknowledged` back to the disk where the file system can.
    pub fn free(&mut self, acknowledged: u64) {
        let end = acknowledged - acknowledged % Self::HOLE;
        if end <= self.freed {
            return;
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let length = i64::try_from(end - self.freed).unwrap_or(i64::MAX);
        let start = i64::try_from(self.freed).unwrap_or(i64::MAX);
        // A file system that cannot is not an error: the file is removed with the task.
        if fallocate(&self.file, flags, start, length).is_err() {
            tracing::debug!("the file system does not give acknowledged output back");
        }
        self.freed = end;
    }

    fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut have = 0;
        while have < bytes.len() {
            match self
                .file
                .read_at(&mut bytes[have..], self.offset + have as u64)
            {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(have)
    }

    /// An open line is due once it has not been finished for a while, or when it is longer than a piece.
    fn rest(&mut self, full: bool, now: Instant) -> Rest {
        let since = match self.partial_since {
            Some((offset, since)) if offset == self.offset => since,
            _ => {
                self.partial_since = Some((self.offset, now));
                now
            }
        };
        if full || now.duration_since(since) >= Self::HOLD {
            Rest::Due
        } else {
            Rest::Held
        }
    }
}

/// Where the segment ends: behind the last line feed if there is one, never inside a character or a secret.
fn cut(bytes: &[u8], masker: &Masker, rest: Rest, last: bool) -> usize {
    if last {
        return bytes.len();
    }
    let lines = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let wanted = match (lines, rest) {
        (0, Rest::Due) => bytes.len() - incomplete_character(bytes),
        (lines, _) => lines,
    };
    if wanted == 0 {
        return 0;
    }
    match masker.decided(&bytes[..wanted]) {
        // A program that prints nothing but the beginning of a secret must not block its own log.
        0 if bytes.len() >= Spool::PIECE => wanted,
        decided => decided,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::secrets::Registry;

    struct Fixture {
        file: tempfile::NamedTempFile,
        spool: Spool,
        registry: Registry,
        now: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let file = tempfile::NamedTempFile::new().expect("file");
            let spool = Spool::open(file.path(), 0).expect("opened");
            Self {
                file,
                spool,
                registry: Registry::default(),
                now: Instant::now(),
            }
        }

        fn print(&mut self, bytes: &[u8]) {
            self.file.write_all(bytes).expect("written");
        }

        fn next(&mut self, ended: bool) -> Option<String> {
            let segment = self
                .spool
                .next(&self.registry.masker(), ended, self.now)
                .expect("read")?;
            Some(String::from_utf8(segment.bytes).expect("text"))
        }
    }

    /// D-224
    #[test]
    fn an_open_line_is_held_back_for_a_while() {
        let mut fixture = Fixture::new();
        fixture.print(b"one\ntw");
        assert_eq!(fixture.next(false).as_deref(), Some("one\n"));
        assert_eq!(fixture.next(false), None);
        fixture.now += Spool::HOLD;
        assert_eq!(fixture.next(false).as_deref(), Some("tw"));
        fixture.print("o\nthree\u{20ac}".as_bytes());
        assert_eq!(fixture.next(false).as_deref(), Some("o\n"));
        assert_eq!(fixture.next(true).as_deref(), Some("three\u{20ac}"));
        assert_eq!(fixture.next(true), None);
    }

    /// D-224
    #[test]
    fn a_character_is_never_cut() {
        let mut fixture = Fixture::new();
        fixture.print(&"ab€".as_bytes()[..4]);
        assert_eq!(fixture.next(false), None);
        fixture.now += Spool::HOLD;
        assert_eq!(fixture.next(false).as_deref(), Some("ab"));
        fixture.print(&"€".as_bytes()[2..]);
        fixture.print(b"\n");
        assert_eq!(fixture.next(false).as_deref(), Some("€\n"));
    }

    /// D-351
    #[test]
    fn a_line_longer_than_a_piece_is_passed_on() {
        let mut fixture = Fixture::new();
        fixture.print(&vec![b'x'; Spool::PIECE + 10]);
        assert_eq!(
            fixture.next(false).map(|text| text.len()),
            Some(Spool::PIECE)
        );
        assert_eq!(fixture.next(true).map(|text| text.len()), Some(10));
    }

    #[test]
    fn what_is_written_behind_the_limit_waits() {
        let mut fixture = Fixture::new();
        fixture.print(b"one\ntwo\n");
        fixture.spool.limit_to(4);
        assert_eq!(fixture.next(true).as_deref(), Some("one\n"));
        assert_eq!(fixture.next(true), None);
        fixture.spool.limit_to(u64::MAX);
        assert_eq!(fixture.next(true).as_deref(), Some("two\n"));
    }

    #[test]
    fn a_secret_cut_by_the_reader_is_masked() {
        let mut fixture = Fixture::new();
        fixture.registry.register("top\nsecret");
        fixture.print(b"a top\n");
        assert_eq!(fixture.next(false).as_deref(), Some("a "));
        fixture.print(b"secret b\n");
        assert_eq!(fixture.next(false).as_deref(), Some("**** b\n"));
    }

    /// A full disk has cut the line; the same bytes give the same text when they are sent again.
    #[test]
    fn a_secret_that_a_gap_has_cut_is_not_shown() {
        let mut fixture = Fixture::new();
        fixture.registry.register("correct-horse-battery");
        let cut = b"key: correct-horse-bat";
        fixture.print(cut);
        fixture.print(b"behind the gap");
        fixture.spool.limit_to_gap(Some(cut.len() as u64));
        assert_eq!(fixture.next(true).as_deref(), Some("key: ****"));
        let mut spool = Spool::open(fixture.file.path(), 0).expect("opened");
        spool.limit_to_gap(Some(cut.len() as u64));
        let masker = fixture.registry.masker();
        let again = spool.take(cut.len() as u64, &masker).expect("read");
        assert_eq!(again.expect("there").bytes, b"key: ****");
    }

    #[test]
    fn the_offset_counts_bytes_of_the_file_not_of_the_masked_text() {
        let mut fixture = Fixture::new();
        fixture.registry.register("long-secret-value");
        fixture.print(b"x long-secret-value\n");
        let segment = fixture
            .spool
            .next(&fixture.registry.masker(), false, fixture.now)
            .expect("read")
            .expect("some");
        assert_eq!(
            (segment.end, segment.bytes.as_slice()),
            (20, b"x ****\n".as_slice())
        );
    }
}
