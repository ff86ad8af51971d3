//! Streams are read to the last byte, in pieces of any size, and no cut of one passes.

use std::io::Read;

use arrow_array::{cast::AsArray, types::Int32Type, Array};
use millstream_core::{base::CopyEncoding, ColumnType, TypeKind};
use proptest::{collection::vec, option, prelude::*};

use super::*;

type Rows = Vec<Vec<Option<Vec<u8>>>>;

fn stream(rows: &Rows) -> Vec<u8> {
    let mut writer = CopyWriter::new();
    for row in rows {
        writer.row(row.iter().map(Option::as_deref));
    }
    writer.finish()
}

/// Hands out at most so many bytes at a time.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.1.min(buffer.len());
        self.0.read(&mut buffer[..piece])
    }
}

fn read(input: impl Read) -> Result<Rows, CopyError> {
    let mut reader = CopyReader::new(input);
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        rows.push(row.fields().map(|field| field.map(<[u8]>::to_vec)).collect());
    }
    assert!(reader.next_row()?.is_none());
    Ok(rows)
}

fn rows() -> impl Strategy<Value = Rows> {
    vec(vec(option::of(vec(any::<u8>(), 0..20)), 0..5), 0..6)
}

proptest! {
    #[test]
    fn rows_read_back_in_pieces_of_any_size(rows in rows(), piece in 1usize..40) {
        let bytes = stream(&rows);
        prop_assert_eq!(read(Dripping(&bytes, piece)).unwrap(), rows);
    }

    #[test]
    fn every_cut_and_every_surplus_is_refused(rows in rows()) {
        let mut bytes = stream(&rows);
        for end in 0..bytes.len() {
            match read(&bytes[..end]) {
                Err(CopyError::Truncated { offset }) => prop_assert_eq!(offset, end as u64),
                other => prop_assert!(false, "cut at {}: {:?}", end, other),
            }
        }
        bytes.push(0);
        prop_assert!(matches!(read(&bytes[..]), Err(CopyError::Malformed { .. })), "surplus");
    }

    #[test]
    fn garbage_is_never_a_panic(mut bytes in vec(any::<u8>(), 0..80), with_head in any::<bool>()) {
        if with_head {
            let mut head = CopyWriter::new().finish();
            head.truncate(19);
            head.append(&mut bytes);
            bytes = head;
        }
        prop_assert!(read(&bytes[..]).is_err() || bytes.ends_with(b"\xff\xff"));
    }
}

#[test]
fn a_row_longer_than_the_buffer_is_read() {
    let rows = vec![vec![Some(vec![7; 1 << 20]), None], vec![Some(vec![]), Some(vec![8; 600_000])]];
    assert_eq!(read(Dripping(&stream(&rows), 100_000)).unwrap(), rows);
}

#[test]
fn a_length_that_is_a_lie_costs_no_memory() {
    let mut bytes = CopyWriter::new().finish();
    bytes.truncate(19);
    bytes.extend(b"\0\x01\x7f\xff\xff\xff");
    assert!(matches!(read(&bytes[..]), Err(CopyError::Malformed { offset: 19, .. })));
    bytes.truncate(19);
    bytes.extend(b"\0\x01\xff\xff\xff\xfe");
    assert!(matches!(read(&bytes[..]), Err(CopyError::Malformed { .. })));
}

#[test]
fn an_unknown_head_is_refused() {
    let mut flags = CopyWriter::new().finish();
    flags[12] = 1;
    assert!(matches!(read(&flags[..]), Err(CopyError::Malformed { .. })));
    let mut signature = CopyWriter::new().finish();
    signature[0] = b'p';
    assert!(matches!(read(&signature[..]), Err(CopyError::Malformed { offset: 0, .. })));
    let mut extension = CopyWriter::new().finish();
    extension[18] = 3;
    extension.splice(19..19, *b"abc");
    assert_eq!(read(&extension[..]).unwrap(), Rows::new());
}

fn columns() -> Vec<CopyColumn> {
    let column = |attnum, kind, encoding, to| CopyColumn { attnum, kind, encoding, to };
    vec![
        column(1, TypeKind::Int4, CopyEncoding::Binary, Some(ColumnType::Integer)),
        column(3, TypeKind::Text, CopyEncoding::Binary, None),
        column(4, TypeKind::Other, CopyEncoding::Text, Some(ColumnType::Text)),
        column(5, TypeKind::Int4, CopyEncoding::Text, Some(ColumnType::Text)),
    ]
}

fn row(number: i32, text: &[u8]) -> Vec<Option<Vec<u8>>> {
    vec![
        Some(number.to_be_bytes().to_vec()),
        None,
        Some(text.to_vec()),
        Some(number.to_string().into_bytes()),
    ]
}

#[test]
fn batches_end_at_their_bounds_and_leave_out_what_is_not_wanted() {
    let rows: Rows = (0..10).map(|number| row(number, b"abc")).collect();
    let bytes = stream(&rows);
    let lengths = |rows_max, bytes_max| {
        CopyBatches::new(&bytes[..], &columns(), rows_max, bytes_max)
            .map(|batch| batch.unwrap().num_rows())
            .collect::<Vec<_>>()
    };
    assert_eq!(lengths(4, u64::MAX), [4, 4, 2]);
    assert_eq!(lengths(5, u64::MAX), [5, 5]);
    assert_eq!(lengths(100, u64::MAX), [10]);
    // The head's 19 bytes and three rows of 26 are the first batch, three rows of 26 each next.
    assert_eq!(lengths(100, 78), [3, 3, 3, 1]);
    let mut batches = CopyBatches::new(&bytes[..], &columns(), 100, u64::MAX);
    let batch = batches.next_batch().unwrap().unwrap();
    let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["c1", "c4", "c5"]);
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(9), 9);
    assert_eq!(batch.column(2).as_string::<i32>().value(9), "9");
    assert!(batches.next_batch().unwrap().is_none());
    assert_eq!((batches.rows(), batches.offset()), (10, bytes.len() as u64));
}

#[test]
fn a_row_that_does_not_fit_is_handed_back_and_the_others_go_on() {
    let rows = vec![row(1, b"a"), row(2, b"\xff"), row(3, b"c")];
    let bytes = stream(&rows);
    let mut batches = CopyBatches::new(&bytes[..], &columns(), 100, u64::MAX);
    let Err(CopyError::Value(error)) = batches.next_batch() else {
        panic!("a text that is none was accepted");
    };
    assert_eq!((error.row, error.column, error.attnum), (1, 2, 4));
    let failed: Vec<_> = batches.failed_row().fields().map(|field| field.map(<[u8]>::to_vec)).collect();
    assert_eq!(failed, rows[1]);
    let batch = batches.next_batch().unwrap().unwrap();
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().values(), &[1, 3]);
    assert_eq!(batch.column(1).len(), 2);
}

#[test]
fn a_batch_goes_on_with_the_rows_of_the_next_stream() {
    let streams: Vec<_> = [0..5, 5..7, 7..10]
        .map(|numbers| stream(&numbers.map(|number| row(number, b"abc")).collect::<Rows>()))
        .into();
    let lengths = |rows_max, bytes_max| {
        let mut batches = CopyBatches::new(&streams[0][..], &columns(), rows_max, bytes_max);
        let (mut taken, mut next) = (Vec::new(), streams[1..].iter());
        loop {
            if batches.fill().unwrap() {
                taken.extend(batches.batch().unwrap());
            } else if let Some(stream) = next.next() {
                batches.go_on_with(&stream[..]);
                assert_eq!((batches.rows(), batches.offset()), (0, 0), "counted from the stream's beginning");
            } else {
                taken.extend(batches.batch().unwrap());
                break;
            }
        }
        assert!(batches.batch().unwrap().is_none());
        let numbers = taken.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values());
        assert_eq!(numbers.copied().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        taken.iter().map(|batch| batch.num_rows()).collect::<Vec<_>>()
    };
    assert_eq!(lengths(4, u64::MAX), [4, 4, 2]);
    assert_eq!(lengths(100, u64::MAX), [10]);
    // A stream's head and trailer count: two rows of 26 and two bytes are left of the first, and 19 more come with the second.
    assert_eq!(lengths(100, 78), [3, 3, 3, 1]);
}

#[test]
fn rows_without_columns_are_counted() {
    let bytes = stream(&vec![vec![], vec![]]);
    let batches: Vec<_> = CopyBatches::new(&bytes[..], &[], 100, u64::MAX).collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].as_ref().unwrap().num_rows(), 2);
}

#[test]
fn a_row_with_another_number_of_fields_is_refused() {
    let bytes = stream(&vec![vec![None]]);
    let mut batches = CopyBatches::new(&bytes[..], &columns(), 100, u64::MAX);
    assert!(matches!(batches.next_batch(), Err(CopyError::Malformed { offset: 0, .. })));
}
