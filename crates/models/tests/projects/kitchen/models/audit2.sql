{{ audit_helper.compare_all_columns(ref('facts'), ref('facts_copy'), primary_key='id') }}
