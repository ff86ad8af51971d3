{{ audit_helper.compare_relation_columns(ref('facts'), ref('other')) }}
