//! Bytes of a log file, gz or plain, to pieces: constant memory, with limits against bombs.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read},
    rc::Rc,
};

use flate2::bufread::MultiGzDecoder;

use super::splitter::{Piece, Splitter};
use crate::model::{outcome::Problem, reason::Reason};

/// A chunk: large enough that few records lie across two of them.
const CHUNK: usize = 256 << 10;

/// What can't be a log any more: DEFLATE reaches 1030, the most repetitive trails about 100.
const RATIO: u64 = 400;

/// So much may come out of any file before its ratio is looked at.
const UNSUSPICIOUS: u64 = 32 << 20;

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file.
    pub taken: u64,
    /// Bytes that came out of it.
    pub given: u64,
}

/// Counts what a reader gives.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count.set(self.count.get() + length as u64);
        Ok(length)
    }
}

/// Reads to the end. Pieces that came before a problem have been handed on; `step` is told now and
/// then how far it is.
pub fn read(
    from: impl Read,
    sink: &mut impl FnMut(Piece<'_>),
    step: &mut impl FnMut(Progress),
) -> Result<Progress, Problem> {
    let count = Rc::new(Cell::new(0));
    let mut from =
        BufReader::with_capacity(CHUNK / 4, Counted { inner: from, count: Rc::clone(&count) });
    let packed = match from.fill_buf() {
        Ok(start) => start.starts_with(&[0x1f, 0x8b]),
        Err(error) => return Err(unreadable(&error)),
    };
    if packed {
        split(&mut MultiGzDecoder::new(from), &count, sink, step)
    } else {
        split(&mut from, &count, sink, step)
    }
}

fn split(
    from: &mut impl Read,
    taken: &Cell<u64>,
    sink: &mut impl FnMut(Piece<'_>),
    step: &mut impl FnMut(Progress),
) -> Result<Progress, Problem> {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; CHUNK];
    let mut progress = Progress::default();
    loop {
        let result = fill(from, &mut buffer);
        let (length, failed) = match result {
            Ok(length) => (length, None),
            Err((length, error)) => (length, Some(error)),
        };
        progress = Progress { taken: taken.get(), given: progress.given + length as u64 };
        splitter.feed(&buffer[..length], sink);
        if let Some(error) = failed {
            splitter.finish(sink);
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => truncated(progress),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                    let detail = format!("after {} bytes: {error}", progress.given);
                    Problem::new(Reason::AuditCorrupt, detail)
                }
                _ => unreadable(&error),
            });
        }
        if length == 0 {
            break;
        }
        if progress.given > UNSUSPICIOUS && progress.given / RATIO > progress.taken {
            let detail = format!("{} bytes became {}", progress.taken, progress.given);
            return Err(Problem::new(Reason::AuditBomb, detail));
        }
        step(progress);
    }
    splitter.finish(sink);
    if splitter.is_whole() { Ok(progress) } else { Err(truncated(progress)) }
}

/// Fills the buffer as far as it can; what came before an error counts.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize, (usize, io::Error)> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((length, error)),
        }
    }
    Ok(length)
}

fn truncated(progress: Progress) -> Problem {
    Problem::new(Reason::AuditTruncated, format!("it ends after {} bytes", progress.given))
}

fn unreadable(error: &io::Error) -> Problem {
    Problem::new(Reason::AuditUnreadable, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn run(bytes: &[u8]) -> (usize, Result<Progress, Reason>) {
        let mut records = 0;
        let mut sink = |piece: Piece<'_>| records += usize::from(matches!(piece, Piece::Record(_)));
        let result = read(bytes, &mut sink, &mut |_| ());
        (records, result.map_err(|problem| problem.reason))
    }

    fn log(records: usize) -> Vec<u8> {
        let record = format!("{{\"a\":\"{}\"}}", "x".repeat(100));
        format!("{{\"Records\":[{}]}}", vec![record; records].join(",")).into_bytes()
    }

    #[test]
    fn gz_in_one_or_more_members_is_read_as_plain_is() {
        let log = log(1000);
        assert_eq!(run(&log).0, 1000);
        assert_eq!(run(&packed(&log)).0, 1000);
        let (first, second) = log.split_at(5000);
        let members = [packed(first), packed(second)].concat();
        let (records, result) = run(&members);
        assert_eq!((records, result.is_ok()), (1000, true));
    }

    #[test]
    fn what_came_before_a_cut_or_a_flipped_bit_is_kept_and_the_rest_is_told() {
        let lines: Vec<String> =
            (0..5000).map(|n| format!("{{\"n\":{}}}", n * 7919 % 4999)).collect();
        let text = lines.join("\n");
        let whole = packed(text.as_bytes());
        let (records, result) = run(&whole[..whole.len() / 2]);
        assert!(records > 100, "{records}");
        assert_eq!(result, Err(Reason::AuditTruncated));
        let plain = log(10);
        assert_eq!(run(&plain[..plain.len() - 3]), (9, Err(Reason::AuditTruncated)));
        let mut flipped = whole.clone();
        let crc = whole.len() - 6;
        flipped[crc] ^= 1;
        assert_eq!(run(&flipped).1, Err(Reason::AuditCorrupt));
        assert_eq!(
            run(&[whole, b"rest that is none of it".to_vec()].concat()).1,
            Err(Reason::AuditCorrupt)
        );
    }

    #[test]
    fn a_bomb_is_left_after_a_moment() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b' '; 48 << 20]).unwrap();
        let bomb = bomb.finish().unwrap();
        let mut last = Progress::default();
        let result = read(bomb.as_slice(), &mut |_| (), &mut |progress| last = progress);
        assert_eq!(result.unwrap_err().reason, Reason::AuditBomb);
        assert!(last.given < 40 << 20, "{last:?}");
    }
}
