//! Results for programs that read columns: Arrow's stream of record batches, and Parquet.
//!
//! The warehouse gives Arrow already; what is done here is naming: columns are called as the statement calls them, each name once.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millstream_core::warehouse::QueryResult;
use millstream_pgoutput::render;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};

use super::format::{cell, unique_names, FormatError};

/// The result as an Arrow stream.
pub(super) fn arrow(result: &QueryResult) -> Result<Vec<u8>, FormatError> {
    let schema = schema(result, |field| field.data_type().clone());
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    for batch in &result.batches {
        writer.write(&RecordBatch::try_new(schema.clone(), batch.columns().to_vec())?)?;
    }
    Ok(writer.into_inner()?)
}

/// The result as a Parquet file.
pub(super) fn parquet(result: &QueryResult) -> Result<Vec<u8>, FormatError> {
    let schema = schema(result, |field| match has_parquet_type(field.data_type()) {
        true => field.data_type().clone(),
        false => DataType::Utf8,
    });
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
    for batch in &result.batches {
        let columns = batch
            .columns()
            .iter()
            .map(
                |column| {
                    if has_parquet_type(column.data_type()) {
                        Ok(column.clone())
                    } else {
                        texts(column)
                    }
                },
            )
            .collect::<Result<Vec<_>, _>>()?;
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    Ok(writer.into_inner()?)
}

fn schema(result: &QueryResult, of: impl Fn(&Field) -> DataType) -> SchemaRef {
    let fields = result.batches.first().map(|batch| render::result_fields(batch, &result.columns));
    let named = fields.into_iter().flatten().zip(unique_names(result)).map(|(field, name)| {
        // Nothing is told of a column but its type: an expression can be NULL.
        Field::new(name, of(&field), true).with_metadata(field.metadata().clone())
    });
    Arc::new(Schema::new(named.collect::<Vec<_>>()))
}

/// Whether Parquet can hold it; what it can't is given as text, as the other formats print it.
fn has_parquet_type(of: &DataType) -> bool {
    match of {
        DataType::Interval(_) | DataType::Union(..) | DataType::Duration(_) => false,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_parquet_type(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| has_parquet_type(field.data_type())),
        _ => true,
    }
}

fn texts(column: &ArrayRef) -> Result<ArrayRef, FormatError> {
    let cells = (0..column.len()).map(|row| cell(column.as_ref(), row)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StringArray::from(cells)))
}

#[cfg(test)]
mod tests {
    use arrow_array::{cast::AsArray, types::IntervalMonthDayNanoType, PrimitiveArray};
    use arrow_ipc::reader::StreamReader;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    use super::*;
    use crate::answer::format::tests;

    fn of_parquet(result: &QueryResult) -> Vec<RecordBatch> {
        let bytes = bytes::Bytes::from(parquet(result).unwrap());
        ParquetRecordBatchReader::try_new(bytes, 1_024).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn columns_come_back_as_they_were_under_names_of_their_own() {
        let result = tests::result();
        let bytes = arrow(&result).unwrap();
        let read: Vec<RecordBatch> =
            StreamReader::try_new(bytes.as_slice(), None).unwrap().map(Result::unwrap).collect();
        for batches in [read, of_parquet(&result)] {
            let [batch] = &batches[..] else { panic!("{batches:?}") };
            let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            assert_eq!(names, ["n", "t", "t_2"]);
            assert_eq!(batch.columns(), result.batches[0].columns());
        }
    }

    #[test]
    fn what_parquet_does_not_have_is_text() {
        let value = IntervalMonthDayNanoType::make_value(1, 2, 0);
        let interval = PrimitiveArray::<IntervalMonthDayNanoType>::from(vec![Some(value), None]);
        let batch = RecordBatch::try_from_iter([("i", Arc::new(interval) as ArrayRef)]).unwrap();
        let result = QueryResult { columns: vec![("i".into(), "INTERVAL".into())], batches: vec![batch] };
        let read = of_parquet(&result);
        let texts = read[0].column(0).as_string::<i32>();
        assert_eq!((texts.value(0), texts.iter().nth(1)), ("1 mon 2 days", Some(None)));
        assert!(arrow(&result).is_ok());
    }

    #[test]
    fn no_rows_still_have_columns() {
        let result = tests::result();
        let empty = QueryResult { batches: vec![result.batches[0].slice(0, 0)], ..result };
        let reader = StreamReader::try_new(std::io::Cursor::new(arrow(&empty).unwrap()), None).unwrap();
        assert_eq!(reader.schema().fields().len(), 3);
        assert!(of_parquet(&empty).iter().all(|batch| batch.num_rows() == 0));
    }
}
