{{ audit_helper.compare_row_counts(ref('facts'), ref('other')) }}
