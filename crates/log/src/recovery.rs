//! Opening a log: what is there is either whole, or torn at its very end and cut there, or damaged and refused.
//!
//! A crash can tear only what had not been synced, and that is the tail of the last segment: it is cut to the last whole
//! frame, and since every frame of a segment holds whole transactions, to the last whole transaction. The source sends the rest again,
//! because a position is acknowledged only after the sync.
//!
//! A frame that doesn't parse is damage instead of a tear, and refused, if it stands where the file had been synced. Two
//! witnesses say so: a later frame, which names the durable length of its time (a power cut may lose an earlier page and keep a later
//! one, so a later frame alone proves nothing); and the file `durable`, which is overwritten, unsynced, after every sync, and is
//! therefore never ahead of the truth. Of a file that is shorter than it was, the rest is fetched again or, where the server no longer
//! has it, missed by the slot's check; so a cut tail is never refused here.
//!
//! Finished segments are checked by their place in the chain (each names its predecessor and that one's length) and, frame by frame,
//! when they are read.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::Ordering,
};

use crc32c::crc32c;
use millstream_core::{log::SourceDescription, Lsn};

use crate::{
    directory::{self, Directory},
    embedded::Shared,
    error::{LogError, Result},
    frame::{FileKind, FrameHead, FrameKind, Preamble, FORMAT_VERSION, FRAME_HEAD_BYTES, PREAMBLE_BYTES},
    frames::{FrameReader, Next},
    record::{self, Catalogue, Relation, SegmentHead, Spooled, TransactionHead},
};

/// A segment as readers and retention see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) name: Lsn,
    /// Durable bytes.
    pub(crate) bytes: u64,
    /// The newest transaction in or before it.
    pub(crate) last_position: Option<Lsn>,
    /// The oldest transaction in it, where that is known.
    pub(crate) first_position: Option<Lsn>,
}

/// The segment that is written on.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    pub(crate) name: Lsn,
    pub(crate) bytes: u64,
    /// Who speaks in it.
    pub(crate) source: SourceDescription,
}

/// What a log holds when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    pub(crate) tail: Option<Tail>,
    pub(crate) last_position: Option<Lsn>,
    pub(crate) flushed_lsn: Lsn,
    pub(crate) catalogue: Catalogue,
    /// The newest transaction that retention dropped.
    pub(crate) gone_through: Option<Lsn>,
    /// Bytes of the spools that joined the log.
    pub(crate) spool_bytes: u64,
}

/// Reads what is there, cuts a torn tail, deletes what belongs to nobody.
pub(crate) fn recover(directory: &Directory) -> Result<Recovered> {
    let mut names = Directory::positions(directory.root(), "seg")?;
    let mut recovered = Recovered::default();
    // Bounded: every turn that goes round deletes a file.
    while let Some(&name) = names.last() {
        if let Some((tail, head)) = scan_tail(directory, name, &mut recovered)? {
            link(directory, &names, &tail, head, &mut recovered)?;
            recovered.tail = Some(tail);
            break;
        }
        let path = directory.segment(name);
        tracing::warn!(event = "log_segment_dropped", segment = %path.display(), "the last segment was torn at its head and is dropped");
        directory::remove(&path)?;
        directory::sync_dir(directory.root())?;
        names.pop();
        recovered = Recovered::default();
    }
    clean_spools(directory, &mut recovered)?;
    Ok(recovered)
}

/// Checks the chain of segments and lists them.
fn link(
    directory: &Directory,
    names: &[Lsn],
    tail: &Tail,
    head: SegmentHead,
    recovered: &mut Recovered,
) -> Result<()> {
    let first_of_tail = recovered.segments.first().and_then(|segment| segment.first_position);
    let mut segments = vec![Segment {
        name: tail.name,
        bytes: tail.bytes,
        last_position: recovered.last_position,
        first_position: first_of_tail,
    }];
    let mut next = head;
    for &name in names.iter().rev().skip(1) {
        let path = directory.segment(name);
        let expected = match &next.previous {
            Some(previous) if previous.name == name => previous.bytes,
            Some(previous) => {
                let missing = directory.segment(previous.name);
                let needed_by = "the segment that follows it".to_owned();
                return Err(LogError::Missing { path: missing, needed_by });
            }
            None => {
                return Err(LogError::damaged(path, 0, "its successor says that there is none before it"))
            }
        };
        let bytes = fs::metadata(&path).map_err(LogError::io("inspect", &path))?.len();
        if bytes != expected {
            let what = format!("it has {bytes} bytes; its successor knows of {expected}");
            return Err(LogError::damaged(path, bytes.min(expected), what));
        }
        segments.push(Segment { name, bytes, last_position: next.last_position, first_position: None });
        next = read_head(&mut FrameReader::open(path, FileKind::Segment)?, bytes)?;
    }
    segments.reverse();
    if let Some(oldest) = segments.first_mut().filter(|oldest| oldest.first_position.is_none()) {
        oldest.first_position = first_transaction(directory, oldest)?;
    }
    recovered.segments = segments;
    recovered.gone_through = next.last_position;
    Ok(())
}

fn read_head(reader: &mut FrameReader, end: u64) -> Result<SegmentHead> {
    let frame = reader.next_whole(end)?.filter(|frame| frame.kind == FrameKind::Head);
    frame
        .and_then(|frame| serde_json::from_slice(&frame.payload).ok())
        .ok_or_else(|| LogError::damaged(reader.path(), PREAMBLE_BYTES as u64, "its head can't be read"))
}

/// Reads the last segment whole. `None`: not even its head became durable.
fn scan_tail(
    directory: &Directory,
    name: Lsn,
    recovered: &mut Recovered,
) -> Result<Option<(Tail, SegmentHead)>> {
    let path = directory.segment(name);
    let file = File::options().read(true).write(true).open(&path).map_err(LogError::io("open", &path))?;
    let length = file.metadata().map_err(LogError::io("inspect", &path))?.len();
    let durable = Durable::read(directory)?.filter(|durable| durable.segment == name);
    let refuse_damage =
        |offset: u64, what: &str| match proof_of_damage(&file, &path, offset, length, durable)? {
            Some(proof) => Err(LogError::damaged(&path, offset, format!("{what}, and {proof}"))),
            None => Ok(()),
        };

    let mut preamble = vec![0; PREAMBLE_BYTES.min(usize::try_from(length).unwrap_or(usize::MAX))];
    file.read_exact_at(&mut preamble, 0).map_err(LogError::io("read", &path))?;
    match FileKind::Segment.check(&preamble) {
        Preamble::Known => {}
        Preamble::OtherVersion(found) => {
            return Err(LogError::Version { path, found, expected: FORMAT_VERSION });
        }
        Preamble::Damaged => {
            refuse_damage(0, "it is not a segment")?;
            return Ok(None);
        }
    }

    let mut reader = FrameReader::open(path.clone(), FileKind::Segment)?;
    let mut head: Option<SegmentHead> = None;
    let mut first_position = None;
    loop {
        let frame = match reader.next(length)? {
            Next::Frame(frame) => frame,
            Next::End => break,
            Next::Bad { offset, what } => {
                refuse_damage(offset, what)?;
                if head.is_some() {
                    tracing::warn!(
                        event = "log_tail_cut", segment = %path.display(), offset, bytes = length - offset,
                        "the log's tail was torn and is cut; the source sends it again"
                    );
                    cut(&file, &path, offset)?;
                }
                break;
            }
        };
        let malformed = |what: &str| LogError::damaged(&path, frame.offset, what);
        if head.is_none() {
            let parsed: SegmentHead = (frame.kind == FrameKind::Head)
                .then(|| serde_json::from_slice(&frame.payload).ok())
                .flatten()
                .ok_or_else(|| malformed("its head can't be read"))?;
            recovered.last_position = parsed.last_position;
            recovered.flushed_lsn = parsed.flushed_lsn;
            head = Some(parsed);
            continue;
        }
        let committed = match frame.kind {
            FrameKind::Transaction => {
                let mut rest = &frame.payload[..];
                let transaction =
                    TransactionHead::take(&mut rest).ok_or_else(|| malformed("no transaction"))?;
                if transaction.has_catalogue() {
                    let stated = state_entries(&mut recovered.catalogue, rest, transaction.first_lsn);
                    stated.map_err(|what| malformed(&what))?;
                }
                Some(transaction.header)
            }
            FrameKind::Spooled => {
                let spooled = Spooled::decode(&frame.payload).ok_or_else(|| malformed("no transaction"))?;
                check_spool(directory, &spooled, &path)?;
                spooled.catalogue.into_iter().for_each(|relation| recovered.catalogue.insert(relation));
                Some(spooled.head.header)
            }
            FrameKind::Schema => {
                let relation = Relation::decode(&frame.payload).ok_or_else(|| malformed("no schema"))?;
                recovered.catalogue.insert(relation.0);
                None
            }
            FrameKind::Advance => {
                let through =
                    record::take_u64(&mut &frame.payload[..]).ok_or_else(|| malformed("no position"))?;
                recovered.flushed_lsn = recovered.flushed_lsn.max(Lsn(through));
                None
            }
            FrameKind::Message => None,
            _ => return Err(malformed("a frame that segments don't have")),
        };
        if let Some(header) = committed {
            if recovered.last_position >= Some(header.commit_lsn) {
                return Err(malformed("a transaction out of order"));
            }
            first_position = first_position.or(Some(header.commit_lsn));
            recovered.last_position = Some(header.commit_lsn);
            recovered.flushed_lsn = recovered.flushed_lsn.max(header.end_lsn);
        }
    }
    let bytes = reader.offset();
    Ok(head.map(|head| {
        recovered.segments =
            vec![Segment { name, bytes, last_position: recovered.last_position, first_position }];
        (Tail { name, bytes, source: head.source.clone() }, head)
    }))
}

/// Takes in what a transaction's entries state about the catalogue.
pub(crate) fn state_entries(
    catalogue: &mut Catalogue,
    mut entries: &[u8],
    first_lsn: Lsn,
) -> std::result::Result<(), String> {
    let mut lsn = first_lsn;
    while !entries.is_empty() {
        let message = record::take_entry(&mut entries, &mut lsn).ok_or("an entry is cut short")?;
        if let Some((_, statement)) = record::statement_of(message, false)? {
            catalogue.state(&statement);
        }
    }
    Ok(())
}

fn cut(file: &File, path: &Path, length: u64) -> Result<()> {
    file.set_len(length).map_err(LogError::io("cut", path))?;
    directory::sync_data(file, path)
}

/// Why bytes that don't parse can't be a torn write, if they can't.
fn proof_of_damage(
    file: &File,
    path: &Path,
    offset: u64,
    length: u64,
    durable: Option<Durable>,
) -> Result<Option<String>> {
    if let Some(durable) = durable.filter(|durable| offset < durable.bytes && durable.bytes <= length) {
        return Ok(Some(format!("it had been synced up to byte {}", durable.bytes)));
    }
    // Bounded by a segment's size.
    let mut rest = vec![0; usize::try_from(length - offset).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut rest, offset).map_err(LogError::io("read", path))?;
    for start in 1..rest.len().saturating_sub(FRAME_HEAD_BYTES) {
        let Some(head) = FrameHead::parse(&rest[start..]) else {
            continue;
        };
        let at = offset + start as u64;
        let frame = rest[start..].get(..head.frame_bytes());
        // The cheap conditions first: almost nothing reaches the checksum.
        if u64::from(head.synced) > offset && frame.is_some_and(|frame| head.verify(frame, at)) {
            return Ok(Some(format!("the frame at byte {at} knows that it had been synced")));
        }
    }
    Ok(None)
}

fn check_spool(directory: &Directory, spooled: &Spooled, segment: &Path) -> Result<()> {
    let path = directory.spool(spooled.head.header.commit_lsn);
    match fs::metadata(&path) {
        Err(_) => Err(LogError::Missing { path, needed_by: segment.display().to_string() }),
        Ok(metadata) if metadata.len() != spooled.bytes => {
            let what = format!("it has {} bytes instead of {}", metadata.len(), spooled.bytes);
            Err(LogError::damaged(path, metadata.len().min(spooled.bytes), what))
        }
        Ok(_) => Ok(()),
    }
}

/// Deletes the spools of transactions that never joined the log or were dropped from it.
fn clean_spools(directory: &Directory, recovered: &mut Recovered) -> Result<()> {
    let spools = directory.spools();
    for name in directory::names(&spools)?.iter().filter(|name| name.ends_with(".open")) {
        directory::remove(&spools.join(name))?;
    }
    for commit_lsn in Directory::positions(&spools, "spool")? {
        let path = directory.spool(commit_lsn);
        if Some(commit_lsn) > recovered.last_position || Some(commit_lsn) <= recovered.gone_through {
            directory::remove(&path)?;
        } else {
            recovered.spool_bytes += fs::metadata(&path).map_err(LogError::io("inspect", &path))?.len();
        }
    }
    Ok(())
}

/// Deletes, while there is no writer, what one left behind that was dropped before its last sync: segments and spools that nobody was shown.
pub(crate) fn drop_unsynced(shared: &Shared) -> Result<()> {
    let state = shared.state();
    let directory = &shared.directory;
    let last_segment = state.segments.last().map(|segment| segment.name);
    let mut held = state.segments.iter().map(|segment| segment.bytes).sum();
    for name in Directory::positions(directory.root(), "seg")? {
        if Some(name) > last_segment {
            directory::remove(&directory.segment(name))?;
        }
    }
    for commit_lsn in Directory::positions(&directory.spools(), "spool")? {
        let path = directory.spool(commit_lsn);
        if Some(commit_lsn) > state.last_position {
            directory::remove(&path)?;
        } else {
            held += fs::metadata(&path).map_err(LogError::io("inspect", &path))?.len();
        }
    }
    shared.held_bytes.store(held, Ordering::Relaxed);
    Ok(())
}

/// The oldest transaction of a segment.
pub(crate) fn first_transaction(directory: &Directory, segment: &Segment) -> Result<Option<Lsn>> {
    let mut reader = FrameReader::open(directory.segment(segment.name), FileKind::Segment)?;
    while let Some(frame) = reader.next_whole(segment.bytes)? {
        if matches!(frame.kind, FrameKind::Transaction | FrameKind::Spooled) {
            return Ok(TransactionHead::take(&mut &frame.payload[..]).map(|head| head.header.commit_lsn));
        }
    }
    Ok(None)
}

/// How far a segment was durable at least: the content of the file `durable`.
///
/// Written after a sync and never synced itself: what it says was true before it was written, so losing an update of it loses
/// only sharpness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) segment: Lsn,
    pub(crate) bytes: u64,
}

impl Durable {
    const BYTES: usize = 20;

    pub(crate) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.segment.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        let crc = crc32c(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What was said last; a file that is missing or torn says nothing.
    fn read(directory: &Directory) -> Result<Option<Self>> {
        let path = directory.durable();
        let Ok(content) = fs::read(&path) else {
            return Ok(None);
        };
        let mut rest = &content[..];
        let (segment, bytes) = (record::take_u64(&mut rest), record::take_u64(&mut rest));
        let durable = segment.zip(bytes).map(|(name, bytes)| Durable { segment: Lsn(name), bytes });
        Ok(durable.filter(|durable| durable.encode()[..] == content))
    }
}
