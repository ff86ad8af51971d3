{{ dbt_utils.unpivot(ref('facts'), cast_to='varchar', exclude=['id'], remove=['url', 'ts'], field_name='f', value_name='v') }}
