select tree_id, kind, cast('x' as varchar) as how from {{ ref('pruned', version='1') }}
