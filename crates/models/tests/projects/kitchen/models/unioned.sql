{{ dbt_utils.union_relations([ref('facts'), ref('other')], column_override={'extra': 'varchar(20)'}, exclude=['url'], where='id > 1') }}
