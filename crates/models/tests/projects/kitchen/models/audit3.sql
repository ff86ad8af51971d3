{{ audit_helper.compare_which_columns_differ(ref('facts'), ref('facts_copy'), primary_key='id') }}
