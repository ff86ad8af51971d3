{{ config(severity='warn') }}
select * from ({{ audit_helper.compare_queries("select id from " ~ ref('facts'), "select id from " ~ ref('other'), summarize=false) }})
