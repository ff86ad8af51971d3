{{ audit_helper.compare_relations(ref('facts'), ref('facts_copy'), exclude_columns=['url'], primary_key='id') }}
