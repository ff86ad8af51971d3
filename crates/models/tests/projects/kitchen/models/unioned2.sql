{{ dbt_utils.union_relations(relations=[ref('facts'), ref('other')], include=['id', 'kind'], source_column_name=none) }}
